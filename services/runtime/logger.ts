import { type Logger, pino } from "pino";

export type { Logger };

/** Names of fields that never reach a log line, wherever they stand. */
const REDACTED = ["ip", "token", "key", "secret", "authorization", "message_text", "user_agent", "email", "phone"];

/** One JSON line a record on stdout, with the severity as a word. */
export function openLogger(level: string): Logger {
  return pino({
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), remove: true },
  });
}
