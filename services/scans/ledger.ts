import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { holdsTouches } from "#runtime/touches.ts";
import { type LedgerDoc, ledgerModel } from "./model.ts";
import { scansProjection } from "./project.ts";
import { bookOf, HOUR_MS } from "./scope.ts";
import { peekBatch, type Sources, tailOf } from "./tail.ts";

/** The books of some hours, or of one. */
export interface Books {
  accepted: number;
  rejected: number;
  /** The rejected ones by the code of their refusal. */
  rejectedBy: Record<string, number>;
  shed: number;
  counted: number;
  filtered: Record<string, number>;
  duplicate: number;
  pending: number;
}

/** Whose books, and of which hours: those that begin from `from` until before `to`. */
export interface BooksAsked {
  workspace: string;
  test: boolean;
  from: number;
  to: number;
}

export function emptyBooks(): Books {
  return { accepted: 0, rejected: 0, rejectedBy: {}, shed: 0, counted: 0, filtered: {}, duplicate: 0, pending: 0 };
}

/** Books by hour, in order of time. */
export interface BooksRead {
  hours: Map<number, Books>;
  /** The log could not be read: what is on it beyond the counted is not in the books. */
  withoutLog: boolean;
}

/** The books. What the log holds beyond the counted is in them, as pending, as long as the log can be read. */
export async function readBooks(sources: Sources, asked: BooksAsked): Promise<BooksRead> {
  const watermark = await sources.store.watermark(scansProjection.name);
  const ledger = sources.store.collection(ledgerModel).of(asked.workspace);
  const hours = new Map<number, Books>();
  const positions = new Map<string, number>();
  const where = { book: bookOf(asked.test), hour: { gte: asked.from, lt: asked.to } };
  for await (const docs of ledger.stream({ where, sort: [["hour", 1]] })) {
    for (const doc of docs) {
      addDoc(booksOf(hours, doc.hour), doc);
      positions.set(`${doc.hour}/${doc.partition}`, doc.position);
    }
  }
  // The documents may be younger than the watermark: each says itself which entries it has.
  const isOpen = (hour: number, { partition, position }: LogEntry) =>
    hour >= asked.from && hour < asked.to && position > (positions.get(`${hour}/${partition}`) ?? 0);
  const tail = await readTail(tailOf(sources, watermark), { asked, isOpen });
  for (const [hour, books] of tail ?? []) addBooks(booksOf(hours, hour), books);
  return { hours: new Map([...hours].sort(([a], [b]) => a - b)), withoutLog: tail === undefined };
}

/** The books of the end of the log, all of it or none; undefined when it cannot be read. */
async function readTail(
  tail: AsyncIterable<LogEntry[]>,
  open: Parameters<typeof addEntry>[2],
): Promise<Map<number, Books> | undefined> {
  const hours = new Map<number, Books>();
  try {
    for await (const entries of tail) for (const entry of entries) addEntry(hours, entry, open);
    return hours;
  } catch (error) {
    const { code } = ConnectError.from(error);
    if (code === Code.Unavailable || code === Code.DeadlineExceeded) return undefined;
    throw error;
  }
}

/** Adds books to books. */
export function addBooks(sum: Books, more: Books): void {
  for (const name of ["accepted", "rejected", "shed", "counted", "duplicate", "pending"] as const)
    sum[name] += more[name];
  for (const by of ["filtered", "rejectedBy"] as const)
    for (const [reason, count] of Object.entries(more[by]))
      if (count !== 0) sum[by][reason] = (sum[by][reason] ?? 0) + count; // 0: all of them were judged again
}

function booksOf(hours: Map<number, Books>, hour: number): Books {
  let books = hours.get(hour);
  if (books === undefined) {
    books = emptyBooks();
    hours.set(hour, books);
  }
  return books;
}

function addDoc(books: Books, doc: LedgerDoc): void {
  const { accepted = 0, counted = 0, filtered = {}, duplicate = 0, rejected = {}, shed = 0 } = doc;
  const refused = { rejected: sum(rejected), rejectedBy: rejected, shed };
  addBooks(books, { ...refused, accepted, counted, filtered, duplicate, pending: 0 });
}

interface Open {
  asked: BooksAsked;
  isOpen: (hour: number, entry: LogEntry) => boolean;
}

function addEntry(hours: Map<number, Books>, entry: LogEntry, open: Open): void {
  if (holdsTouches(entry.subject)) addPending(hours, entry, open);
  if (entry.subject === "touches.refused") addRefused(hours, entry, open);
}

function addPending(hours: Map<number, Books>, entry: LogEntry, { asked, isOpen }: Open): void {
  const { recordedAt, touches } = peekBatch(entry.payload);
  const hour = hourOf(recordedAt);
  if (!isOpen(hour, entry)) return;
  const isOurs = ({ workspaceId, test }: { workspaceId: string; test: boolean }) =>
    workspaceId === asked.workspace && test === asked.test;
  const pending = touches.filter(isOurs).length;
  if (pending > 0) addBooks(booksOf(hours, hour), { ...emptyBooks(), accepted: pending, pending });
}

function addRefused(hours: Map<number, Books>, entry: LogEntry, { asked, isOpen }: Open): void {
  const { workspaceId, test, arrivedAt, rejected, shed, duplicate } = fromBinary(TouchesRefusedSchema, entry.payload);
  const hour = hourOf(arrivedAt === undefined ? 0 : timestampMs(arrivedAt));
  if (workspaceId !== asked.workspace || test !== asked.test || !isOpen(hour, entry)) return;
  const refused = { rejected: sum(rejected), rejectedBy: rejected, shed };
  const more = { ...emptyBooks(), ...refused, duplicate, accepted: duplicate };
  addBooks(booksOf(hours, hour), more);
}

function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS) * HOUR_MS;
}

function sum(numbers: Readonly<Record<string, number>>): number {
  return Object.values(numbers).reduce((total, number) => total + number, 0);
}
