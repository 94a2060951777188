import type { Child } from "./child.ts";

/** A batch of scans whose ids nobody else gives. */
export interface Batch {
  ids: string[];
}

/** What became of the batches that were sent. */
export interface Sent {
  /** Answered with 200: they are durable. */
  acknowledged: Batch[];
  /** No answer came: they may be durable or not. */
  unknown: Batch[];
  /** Answered with anything else. */
  refused: { status: number; text: string }[];
}

const SIZE = 40;

/** Sends a batch and notes what became of it. False when there was no answer. */
export async function sendBatch(
  child: Child,
  { key, batch, sent }: { key: string; batch: Batch; sent: Sent },
): Promise<boolean> {
  const scans = batch.ids.map((id) => ({ id, qpr_code_id: "code-1", device_id: id, conversation_messages: 1 }));
  const answer = await child.call("POST", "/v1/scans", { key, body: { scans } }).catch(() => undefined);
  if (answer === undefined) sent.unknown.push(batch);
  else if (answer.status === 200 && answer.body.accepted === batch.ids.length) sent.acknowledged.push(batch);
  else sent.refused.push({ status: answer.status, text: answer.text });
  return answer !== undefined;
}

/** Sends batches on several connections until the process no longer answers, and calls `onAcknowledged` with their number. */
export async function loadUntilItEnds(
  child: Child,
  { key, name, onAcknowledged }: { key: string; name: string; onAcknowledged: (count: number) => void },
): Promise<Sent> {
  const sent: Sent = { acknowledged: [], unknown: [], refused: [] };
  const work = async (worker: number): Promise<void> => {
    for (let n = 0; n < 10_000; n += 1) {
      const batch = { ids: Array.from({ length: SIZE }, (_, index) => `${name}-${worker}-${n}-${index}`) };
      if (!(await sendBatch(child, { key, batch, sent }))) return;
      onAcknowledged(sent.acknowledged.length);
    }
  };
  await Promise.all(Array.from({ length: 6 }, (_, worker) => work(worker)));
  return sent;
}
