import { type DestinationStream, type Logger, type LoggerOptions, pino } from "pino";

export type { Logger };

/** Names of fields that never reach a log line, wherever they stand; case, "_" and "-" do not matter. */
const REDACTED = new Set(
  "ip ipaddress clientip token key apikey xapikey secret password authorization cookie messagetext useragent email phone".split(
    " ",
  ),
);

/** The deepest that fields are written; what lies deeper is left out, unseen. */
const DEPTH = 6;

/** One JSON line a record, on stdout unless there is another destination, with the severity as a word. */
export function openLogger(level: string, to?: DestinationStream): Logger {
  const options: LoggerOptions = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: (fields) => bare(fields, 1) as Record<string, unknown> },
    serializers: { err: (error) => error },
  };
  return to === undefined ? pino(options) : pino(options, to);
}

/** A copy without the fields that must not be written. An Error keeps what it says of itself and of its cause alone. */
function bare(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? String(value) : value;
  if (value instanceof Date) return value;
  if (depth > DEPTH) return undefined;
  if (value instanceof Error) {
    const { name: type, message, stack, cause } = value;
    return { type, message, stack, ...(cause !== undefined && { cause: bare(cause, depth + 1) }) };
  }
  if (Array.isArray(value)) return value.map((item) => bare(item, depth + 1));
  const kept = Object.entries(value).filter(([name]) => !REDACTED.has(name.toLowerCase().replace(/[_-]/g, "")));
  return Object.fromEntries(kept.map(([name, field]) => [name, bare(field, depth + 1)]));
}
