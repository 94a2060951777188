import type { mongo } from "mongoose";
import type { Progress } from "../../store.ts";
import { duplicateOf } from "./failure.ts";

/** How far a projection is, as it is stored. */
export interface StoredProgress {
  /** Name of the projection. */
  _id: string;
  done: number;
  begun: number;
}

/** Where progress lies, and how a call is made. */
export interface Book {
  collection: mongo.Collection<StoredProgress>;
  run: <R>(call: () => Promise<R>) => Promise<R>;
  /** The same for a call that changes nothing. */
  read: <R>(call: () => Promise<R>) => Promise<R>;
}

/** The watermark, and how far a step that was begun from there reaches. */
export async function readProgress({ collection, read }: Book, projection: string): Promise<Progress> {
  const found = await read(() => collection.findOne({ _id: projection }));
  return found === null ? { done: 0, begun: 0 } : { done: found.done, begun: found.begun };
}

/** A step from one position to another. */
export interface Step {
  projection: string;
  from: number;
  to: number;
}

/** Notes that a step is begun; false when the watermark is elsewhere or another step was begun there. */
export function beginStep(book: Book, { projection, from, to }: Step): Promise<boolean> {
  const filter = { _id: projection, done: from, begun: { $in: [from, to] } };
  return move(book, { filter, next: { done: from, begun: to } });
}

/** Moves the watermark; false when it is elsewhere. */
export function endStep(book: Book, { projection, from, to }: Step): Promise<boolean> {
  return move(book, { filter: { _id: projection, done: from }, next: { done: to, begun: to } });
}

interface Move {
  filter: { _id: string; done: number; begun?: { $in: number[] } };
  next: { done: number; begun: number };
}

/** One compare-and-set. A projection without a document is at 0. */
async function move({ collection, run }: Book, { filter, next }: Move): Promise<boolean> {
  const set = async () => (await run(() => collection.updateOne(filter, { $set: next }))).matchedCount === 1;
  if (await set()) return true;
  if (filter.done !== 0) return false;
  const isMade = await run(async () => {
    try {
      await collection.insertOne({ _id: filter._id, ...next });
      return true;
    } catch (error) {
      if (duplicateOf(error as { code?: unknown }) === undefined) throw error;
      return false;
    }
  });
  return isMade || set();
}
