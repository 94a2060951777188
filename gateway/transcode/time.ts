// "2026-03-20", "2026-03-20T15:30Z", "2026-03-20T15:30:00.250+02:00"
const TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?))?$/;

const MAX_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const MIN_MS = Date.parse("0001-01-01T00:00:00Z");

/**
 * Reads an ISO 8601 time with zone, or a bare date, which is its midnight in UTC. Milliseconds since 1970, finer digits
 * are cut; undefined for anything else, and for days and hours that do not exist.
 */
export function parseTime(text: string): number | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = ""] = match;
  if (+hour > 23 || +minute > 59 || +second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  if (date.getUTCDate() !== Number(day) || date.getUTCMonth() !== Number(month) - 1) return undefined;
  const offset = offsetMinutes(match[9], match[10], match[11]);
  if (offset === undefined) return undefined;
  const millis = fraction === "" ? 0 : Math.floor(Number(`0.${fraction}`) * 1000 + 1e-7);
  const time = date.getTime() + ((+hour * 60 + +minute - offset) * 60 + +second) * 1000 + millis;
  return time >= MIN_MS && time <= MAX_MS ? time : undefined;
}

function offsetMinutes(sign: string | undefined, hours = "0", minutes = "0"): number | undefined {
  if (sign === undefined) return 0;
  if (+hours > 23 || +minutes > 59) return undefined;
  return (+hours * 60 + +minutes) * (sign === "-" ? -1 : 1);
}

/** Writes a time as ISO 8601 in UTC, with or without milliseconds; undefined for one outside the years 1 to 9999. */
export function formatTime(millis: number, withMillis: boolean): string | undefined {
  if (!(millis >= MIN_MS && millis <= MAX_MS)) return undefined;
  const text = new Date(millis).toISOString();
  return withMillis ? text : `${text.slice(0, 19)}Z`;
}

// "3.5s", "-0.000000001s"
const DURATION = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/;
const MAX_DURATION_SECONDS = 315_576_000_000;

/** Reads a duration as protobuf's JSON has it, "3.5s"; undefined for anything else. */
export function parseDuration(text: string): { seconds: bigint; nanos: number } | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = "0", fraction = ""] = match;
  if (Number(whole) > MAX_DURATION_SECONDS) return undefined;
  const nanos = Number(fraction.padEnd(9, "0"));
  return sign === "-"
    ? { seconds: -BigInt(whole), nanos: nanos === 0 ? 0 : -nanos }
    : { seconds: BigInt(whole), nanos };
}

/** Writes a duration: "3.500s", "-1s". */
export function formatDuration(seconds: bigint, nanos: number): string {
  const sign = seconds < 0n || nanos < 0 ? "-" : "";
  const whole = seconds < 0n ? -seconds : seconds;
  const digits = String(Math.abs(nanos)).padStart(9, "0");
  const fraction = nanos === 0 ? "" : `.${digits.replace(/(?:000){1,2}$/, "")}`;
  return `${sign}${whole}${fraction}s`;
}
