/* A stand-in for libnvidia-ml.so.1: the functions that bigmodel_lab.samplers asks, answered from a file.
 *
 * $STUB_NVML names the file; it is read again when it was replaced. One setting a line, "key value":
 *   cards 2                         number of cards (1)
 *   <i>.<fact> <value>              of card i: uuid name total used reserved util milliwatts celsius mj sm mem mig
 *   <i>.mig_uuid MIG-...            its only MIG instance
 *   <i>.process <pid> <bytes>       a process on it; bytes "hidden" = not available; may be repeated
 *   fail.<function> <code>          answer with this nvmlReturn_t;  fail.* is every function but the start
 *   sleep.<function> <ms>           answer later
 * $STUB_NVML_CALLS names a file to which the name of every called function is appended.
 * Compiled with -DOLD_DRIVER it lacks what drivers before R510 lack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       VERSION_MISMATCH = 25, CARDS = 8, SETTINGS = 200 };
typedef struct { int card, instance; } Device;
typedef unsigned long long Bytes;
typedef struct { Bytes total, free, used; } MemoryV1;
typedef struct { unsigned version; Bytes total, reserved, free, used; } MemoryV2;
typedef struct { unsigned pid; Bytes used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned gpu, memory; } Rates;

static Device whole[CARDS], instance[CARDS];
static int connections;
static struct { char key[64], value[128]; } setting[SETTINGS];
static int settings;

static void refresh(void) {
    static struct timespec seen; static ino_t inode;
    const char *path = getenv("STUB_NVML");
    struct stat now;
    if (!path || stat(path, &now)) { settings = 0; return; }
    if (now.st_ino == inode && !memcmp(&now.st_mtim, &seen, sizeof seen)) return;
    inode = now.st_ino; seen = now.st_mtim; settings = 0;
    FILE *file = fopen(path, "r");
    if (!file) return;
    while (settings < SETTINGS && fscanf(file, "%63s %127[^\n]", setting[settings].key, setting[settings].value) == 2) settings++;
    fclose(file);
}
static const char *find(const char *key) {
    for (int i = 0; i < settings; i++) if (!strcmp(setting[i].key, key)) return setting[i].value;
    return 0;
}
static const char *fact(int card, const char *name) {
    char key[64]; snprintf(key, sizeof key, "%d.%s", card, name); return find(key);
}
static Bytes number(int card, const char *name, Bytes otherwise) {
    const char *value = fact(card, name); return value ? strtoull(value, 0, 10) : otherwise;
}
static int cards(void) { const char *n = find("cards"); return n ? atoi(n) : 1; }

static int enter(const char *function) {
    char key[64]; const char *value, *log = getenv("STUB_NVML_CALLS");
    refresh();
    if (log) { FILE *file = fopen(log, "a"); if (file) { fprintf(file, "%s\n", function); fclose(file); } }
    snprintf(key, sizeof key, "sleep.%s", function);
    if ((value = find(key))) { long ms = atol(value); nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, 0); }
    snprintf(key, sizeof key, "fail.%s", function);
    if ((value = find(key))) return atoi(value);
    if (!strcmp(function, "nvmlInit")) return OK;
    if (!connections) return UNINITIALIZED;
    return (value = find("fail.*")) ? atoi(value) : OK;
}
#define ENTER(function) do { int code = enter(function); if (code) return code; } while (0)

int nvmlInitWithFlags(unsigned flags) { (void)flags; ENTER("nvmlInit"); connections++; return OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (!connections) return UNINITIALIZED; connections--; return OK; }
const char *nvmlErrorString(int code) { static char words[32]; snprintf(words, sizeof words, "stub error %d", code); return words; }

int nvmlDeviceGetCount_v2(unsigned *count) { ENTER("nvmlDeviceGetCount"); *count = cards(); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Device **device) {
    ENTER("nvmlDeviceGetHandleByIndex");
    if (i >= (unsigned)cards()) return INVALID_ARGUMENT;
    whole[i] = (Device){ i, 0 }; *device = &whole[i]; return OK;
}
static void uuid_of(int card, char *text, unsigned size) {
    const char *set = fact(card, "uuid");
    if (set) snprintf(text, size, "%s", set); else snprintf(text, size, "GPU-%08d-0000-0000-0000-000000000000", card);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    char own[96]; const char *split;
    ENTER("nvmlDeviceGetHandleByUUID");
    for (int i = 0; i < cards(); i++) {
        uuid_of(i, own, sizeof own);
        if (!strcmp(own, uuid)) { whole[i] = (Device){ i, 0 }; *device = &whole[i]; return OK; }
        if ((split = fact(i, "mig_uuid")) && !strcmp(split, uuid)) { instance[i] = (Device){ i, 1 }; *device = &instance[i]; return OK; }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(Device *device, char *text, unsigned size) {
    ENTER("nvmlDeviceGetUUID");
    if (device->instance) snprintf(text, size, "%s", fact(device->card, "mig_uuid")); else uuid_of(device->card, text, size);
    return OK;
}
int nvmlDeviceGetName(Device *device, char *text, unsigned size) {
    const char *set; ENTER("nvmlDeviceGetName");
    snprintf(text, size, "%s", (set = fact(device->card, "name")) ? set : "Stub T4"); return OK;
}
int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    ENTER("nvmlDeviceGetMigMode");
    if (!fact(device->card, "mig")) return NOT_SUPPORTED;
    *current = *pending = number(device->card, "mig", 0); return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) { (void)device; ENTER("nvmlDeviceGetMaxMigDeviceCount"); *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned i, Device **found) {
    ENTER("nvmlDeviceGetMigDeviceHandleByIndex");
    if (i || !fact(device->card, "mig_uuid")) return NOT_FOUND;
    instance[device->card] = (Device){ device->card, 1 }; *found = &instance[device->card]; return OK;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *device, Device **board) {
    ENTER("nvmlDeviceGetDeviceHandleFromMigDeviceHandle");
    if (!device->instance) return INVALID_ARGUMENT;
    whole[device->card] = (Device){ device->card, 0 }; *board = &whole[device->card]; return OK;
}

static const Bytes GiB = 1ull << 30;
int nvmlDeviceGetMemoryInfo(Device *device, MemoryV1 *memory) {
    ENTER("nvmlDeviceGetMemoryInfo");
    Bytes reserved = number(device->card, "reserved", GiB / 4);
    memory->total = number(device->card, "total", 16 * GiB);
    memory->used = number(device->card, "used", GiB) + reserved;     /* the old form counts both as used */
    memory->free = memory->total - memory->used; return OK;
}
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(Device *device, MemoryV2 *memory) {
    ENTER("nvmlDeviceGetMemoryInfo_v2");
    if (memory->version != (sizeof *memory | 2 << 24)) return VERSION_MISMATCH;
    memory->total = number(device->card, "total", 16 * GiB);
    memory->used = number(device->card, "used", GiB);
    memory->reserved = number(device->card, "reserved", GiB / 4);
    memory->free = memory->total - memory->used - memory->reserved; return OK;
}
#endif
int nvmlDeviceGetUtilizationRates(Device *device, Rates *rates) {
    ENTER("nvmlDeviceGetUtilizationRates");
    if (number(device->card, "mig", 0)) return NOT_SUPPORTED;
    rates->gpu = number(device->card, "util", 37); rates->memory = 5; return OK;
}
#define READING(function, type, name, otherwise) \
    int function(Device *device, type *value) { ENTER(#function); *value = number(device->card, name, otherwise); return OK; }
READING(nvmlDeviceGetPowerUsage, unsigned, "milliwatts", 70500)
READING(nvmlDeviceGetEnforcedPowerLimit, unsigned, "limit_milliwatts", 72000)
READING(nvmlDeviceGetTotalEnergyConsumption, Bytes, "mj", 5000)
int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *value) {
    ENTER("nvmlDeviceGetTemperature"); if (sensor) return INVALID_ARGUMENT; *value = number(device->card, "celsius", 55); return OK;
}
int nvmlDeviceGetClockInfo(Device *device, int which, unsigned *value) {
    ENTER("nvmlDeviceGetClockInfo"); *value = which == 1 ? number(device->card, "sm", 1590) : number(device->card, "mem", 5000); return OK;
}
int nvmlDeviceGetPcieThroughput(Device *device, int which, unsigned *value) {
    (void)device; (void)which; ENTER("nvmlDeviceGetPcieThroughput"); *value = 0; return OK;
}

static int processes(Device *device, unsigned *count, Process *out) {
    char key[64], bytes[32]; unsigned found = 0, room = *count, pid;
    snprintf(key, sizeof key, "%d.process", device->card);
    for (int i = 0; i < settings; i++) {
        if (strcmp(setting[i].key, key) || sscanf(setting[i].value, "%u %31s", &pid, bytes) != 2) continue;
        if (out && found < room) out[found] = (Process){ pid, strcmp(bytes, "hidden") ? strtoull(bytes, 0, 10) : ~0ull, ~0u, ~0u };
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v2(Device *device, unsigned *count, Process *out) {
    ENTER("nvmlDeviceGetComputeRunningProcesses_v2"); return processes(device, count, out);
}
#ifndef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *out) {
    ENTER("nvmlDeviceGetComputeRunningProcesses"); return processes(device, count, out);
}
#endif
