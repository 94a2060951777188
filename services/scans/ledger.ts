import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
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
  return { accepted: 0, rejected: 0, shed: 0, counted: 0, filtered: {}, duplicate: 0, pending: 0 };
}

/** The books by hour, in order of time. What the log holds beyond the counted is in them, as pending. */
export async function readBooks(sources: Sources, asked: BooksAsked): Promise<Map<number, Books>> {
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
  for await (const entries of tailOf(sources, watermark)) {
    for (const entry of entries) addEntry(hours, entry, { asked, isOpen });
  }
  return new Map([...hours].sort(([a], [b]) => a - b));
}

/** Adds books to books. */
export function addBooks(sum: Books, more: Books): void {
  for (const name of ["accepted", "rejected", "shed", "counted", "duplicate", "pending"] as const)
    sum[name] += more[name];
  for (const reason in more.filtered) sum.filtered[reason] = (sum.filtered[reason] ?? 0) + (more.filtered[reason] ?? 0);
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
  addBooks(books, { accepted, counted, filtered, duplicate, shed, rejected: sum(rejected), pending: 0 });
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
  const more = { ...emptyBooks(), rejected: sum(rejected), shed, duplicate, accepted: duplicate };
  addBooks(booksOf(hours, hour), more);
}

function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS) * HOUR_MS;
}

function sum(numbers: Readonly<Record<string, number>>): number {
  return Object.values(numbers).reduce((total, number) => total + number, 0);
}
