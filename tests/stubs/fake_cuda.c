/* A stand-in for libcuda.so.1 that only lists cards. $STUB_CUDA: their UUIDs, 32 hex digits each, with commas. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101 };
static int initialised;
static const char *list(void) { const char *set = getenv("STUB_CUDA"); return set ? set : ""; }

int cuInit(unsigned flags) { (void)flags; if (!*list()) return NO_DEVICE; initialised = 1; return SUCCESS; }
int cuDeviceGetCount(int *count) {
    if (!initialised) return NOT_INITIALIZED;
    *count = (int)(strlen(list()) + 1) / 33; return SUCCESS;
}
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return initialised ? SUCCESS : NOT_INITIALIZED; }
int cuDeviceGetUuid_v2(unsigned char *bytes, int device) {
    for (int i = 0; i < 16; i++) if (sscanf(list() + 33 * device + 2 * i, "%2hhx", &bytes[i]) != 1) return INVALID_DEVICE;
    return SUCCESS;
}
