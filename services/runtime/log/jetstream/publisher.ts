import { randomBytes } from "node:crypto";
import { headers } from "@nats-io/transport-node";
import { unlessLost } from "../../nats/link.ts";
import type { Nats } from "../../nats.ts";
import { fail } from "../reasons.ts";
import { CODES, JetStreamFault, numberOf } from "./fault.ts";

/** One record as it goes to NATS. */
export interface Parcel {
  /** Subject of NATS. */
  subject: string;
  /** Under this id the stream takes it once. */
  id: string;
  payload: Uint8Array;
}

/** At most so many records go as one atomic batch; the server takes 1000. */
export const BATCH_RECORDS = 500;

/**
 * No stream ends here, so nothing is written of what expects it to. (Not `Nats-Expected-Last-Msg-Id`, which a cluster looks at
 * only when it applies the message: the stream stops for good then.)
 */
const NEVER = String(Number.MAX_SAFE_INTEGER);
/** Room for the headers in what the server takes as one message. */
const HEADER_BYTES = 1024;

interface Answer {
  seq: number;
  error?: { err_code?: number; description?: string };
  duplicate?: boolean;
}

/** One try each: nothing here is repeated, and every wait ends within the time given. */
export interface Publisher {
  /** All or none, in this order and adjacent; the last position. Faults with `duplicateInBatch` when any is there already. */
  batch: (parcels: readonly Parcel[], timeoutMs: number) => Promise<number>;
  /** The position, also of one that was there already. */
  one: (parcel: Parcel, timeoutMs: number) => Promise<number>;
  /** The position of one that is there already. Writes nothing. */
  find: (parcel: Pick<Parcel, "subject" | "id">, timeoutMs: number) => Promise<number | undefined>;
}

/** Publishes to the stream over this connection. A try ends at once when the connection is lost: its answer will not come. */
export function publisherOn(nats: Nats): Publisher {
  const ask = async (parcel: Parcel, timeoutMs: number, extra: Record<string, string> = {}): Promise<number> => {
    const answer = nats.connection.request(parcel.subject, parcel.payload, {
      timeout: timeoutMs,
      headers: headersOf(parcel.id, extra),
    });
    const { data } = await unlessLost(nats, answer);
    const { seq, error } = JSON.parse(Buffer.from(data).toString()) as Answer;
    if (error !== undefined) throw new JetStreamFault(error);
    return seq;
  };
  const batch: Publisher["batch"] = (parcels, timeoutMs) => {
    // An id of its own for each try: what an earlier try has left with the server is not mixed with it.
    const batchId = randomBytes(12).toString("base64url");
    const last = parcels.length - 1;
    for (const [index, { subject, id, payload }] of parcels.entries()) {
      if (index === last) break;
      nats.connection.publish(subject, payload, { headers: headersOf(id, batchHeaders(batchId, index)) });
    }
    const commit = { ...batchHeaders(batchId, last), "Nats-Batch-Commit": "1" };
    return ask(parcels[last] as Parcel, timeoutMs, commit);
  };
  const find: Publisher["find"] = async ({ subject, id }, timeoutMs) => {
    try {
      return await ask({ subject, id, payload: new Uint8Array() }, timeoutMs, {
        "Nats-Expected-Last-Sequence": NEVER,
      });
    } catch (error) {
      if (CODES.wrongLastSequence.includes(numberOf(error))) return undefined;
      throw error;
    }
  };
  return { batch, one: (parcel, timeoutMs) => ask(parcel, timeoutMs), find };
}

/** Throws LOG_UNAVAILABLE for a record that these servers never take. */
export function checkSize(nats: Nats, sizeBytes: number): void {
  const most = nats.connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
  if (sizeBytes + HEADER_BYTES > most) throw fail("LOG_UNAVAILABLE", { why: "a record is larger than NATS takes" });
}

function batchHeaders(batchId: string, index: number): Record<string, string> {
  return { "Nats-Batch-Id": batchId, "Nats-Batch-Sequence": String(index + 1) };
}

function headersOf(id: string, extra: Record<string, string>) {
  const all = headers();
  all.set("Nats-Msg-Id", id);
  for (const [name, value] of Object.entries(extra)) all.set(name, value);
  return all;
}
