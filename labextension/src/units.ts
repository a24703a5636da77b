/**
 * The only place in the browser that formats a number.
 *
 * Every function mirrors the one of the same name in bigmodel_lab/units.py, digit for
 * digit (below 2⁵³); a test compares the two over a table of values.
 */

export const UNKNOWN = "–";

const BYTE_STEPS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

const SUFFIX: Readonly<Record<string, string>> = {
  percent: "%",
  watts: "W",
  celsius: "°C",
  joules: "J",
  megahertz: "MHz",
  "samples/s": "samples/s",
};

export type Value = number | null | undefined;

function missing(value: Value): value is null | undefined {
  return value === null || value === undefined || !Number.isFinite(value);
}

/** Like toFixed, but an exact tie goes to the even digit, as Python rounds. */
function fixed(value: number, decimals: number): string {
  const size = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  if (size >= 1e21) return sign + BigInt(Math.round(size)).toString();
  const shown = size.toFixed(decimals);
  const exact = size.toFixed(100);
  const tail = exact.slice(exact.indexOf(".") + 1 + decimals);
  if (!/^50*$/.test(tail)) return sign + shown;
  const below = exact.slice(0, exact.indexOf(".") + 1 + decimals).replace(/\.$/, "");
  return sign + (Number(below.at(-1)) % 2 === 0 ? below : shown);
}

function stripped(shown: string): string {
  return shown.includes(".") ? shown.replace(/0+$/, "").replace(/\.$/, "") : shown;
}

/** An integer, ties to even; Python's round has no negative zero. */
function rounded(value: number): string {
  const shown = fixed(value, 0);
  return shown === "-0" ? "0" : shown;
}

function significant(value: number): string {
  if (value === 0) return "0";
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return stripped(fixed(value, Math.min(100, decimals)));
}

/** Python's format code ".4g". */
function general(value: number): string {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa = "0", power = "0"] = value.toExponential(3).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 4) return stripped(fixed(value, 3 - exponent));
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${stripped(mantissa)}e${exponent < 0 ? "-" : "+"}${size}`;
}

export function formatBytes(count: Value): string {
  if (missing(count)) return UNKNOWN;
  let rest = count;
  let power = 0;
  while (Math.abs(rest) >= 1024 && power < BYTE_STEPS.length - 1) {
    rest /= 1024;
    power += 1;
  }
  return `${power ? significant(rest) : rounded(rest)} ${BYTE_STEPS[power] ?? ""}`;
}

export function formatSeconds(seconds: Value): string {
  if (missing(seconds)) return UNKNOWN;
  if (seconds < 0) return "-" + formatSeconds(-seconds);
  if (seconds < 1e-3) return `${significant(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${significant(seconds * 1e3)} ms`;
  if (seconds < 59.95) return `${significant(seconds)} s`;
  const whole = Number(rounded(seconds));
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function formatNumber(value: Value): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (Math.abs(value) >= 1000) return rounded(value).replace(/\B(?=(\d{3})+$)/g, ",");
  return general(value);
}

export function formatValue(value: Value, unit: string): string {
  if (unit === "bytes") return formatBytes(value);
  if (unit === "seconds") return formatSeconds(value);
  if (missing(value)) return UNKNOWN;
  if (unit === "fraction") return `${significant(value * 100)} %`;
  return `${formatNumber(value)} ${SUFFIX[unit] ?? unit}`.trimEnd();
}

/** A stretch of values; one value when both ends look the same. */
export function formatSpan(low: Value, high: Value, unit: string): string {
  const [first, last] = [formatValue(low, unit), formatValue(high, unit)];
  return first === last ? first : `${first} … ${last}`;
}

/** A tick on an axis: like the value, short, with the unit only where it tells the scale. */
export function formatTick(value: number, unit: string): string {
  return unit === "samples/s" || value === 0 ? formatNumber(value) : formatValue(value, unit);
}

/** Seconds since the run began, for the horizontal axis: 45 s, 1:30, 2:05:00. */
export function formatClock(seconds: number): string {
  if (seconds < 60) return `${general(seconds)} s`;
  const whole = Math.round(seconds);
  const pair = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${pair(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${pair(minutes % 60)}:${pair(whole % 60)}`;
}
