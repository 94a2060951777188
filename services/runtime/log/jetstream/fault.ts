import type { ConnectError } from "@connectrpc/connect";
import { JetStreamApiError } from "@nats-io/jetstream";
import { fail as failAny, reasonOf } from "../../failure.ts";
import { fail } from "../reasons.ts";

/** Numbers of JetStream's errors that the engine acts on. */
export const CODES = {
  streamNotFound: 10059,
  streamExists: 10058,
  wrongLastSequence: [10071, 10164] as readonly number[],
  duplicateInBatch: 10201,
} as const;

/** The account, the file store or the stream is full. */
const FULL: ReadonlySet<number> = new Set([10002, 10023, 10047, 10077]);
/** The record alone is larger than the stream takes. */
const TOO_LARGE = 10054;

/** JetStream answered, but with an error. */
export class JetStreamFault extends Error {
  override name = "JetStreamFault";
  readonly number: number;

  constructor({ err_code, description }: { err_code?: number; description?: string }) {
    super(description ?? "JetStream refuses");
    this.number = err_code ?? 0;
  }
}

/** The number of JetStream's error, from our own requests or from the client's; 0 when it was none of its. */
export function numberOf(error: unknown): number {
  if (error instanceof JetStreamFault) return error.number;
  return error instanceof JetStreamApiError ? error.code : 0;
}

/** True when trying again at once does not help: there is no room. */
export function isFinal(error: unknown): boolean {
  return isFull(error) || numberOf(error) === TOO_LARGE;
}

function isFull(error: unknown): boolean {
  return FULL.has(numberOf(error));
}

/** The refusal for an error that ends an append or a reading. Refusals of our own pass as they are. */
export function refusalOf(error: unknown): ConnectError {
  if (reasonOf(error) !== undefined) return error as ConnectError;
  if (isFull(error)) return failAny("OVERLOADED", {}, error);
  if (numberOf(error) === CODES.streamNotFound) return fail("LOG_LOST", { why: "its stream is gone" }, error);
  return fail("LOG_UNAVAILABLE", { why: whyOf(error) }, error);
}

function whyOf(error: unknown): string {
  const number = numberOf(error);
  if (number === TOO_LARGE) return "a record is larger than the stream takes";
  if (number > 0) return `JetStream refuses (${number})`;
  return "NATS does not answer";
}
