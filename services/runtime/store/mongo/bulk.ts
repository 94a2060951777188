import { isDeepStrictEqual } from "node:util";
import { mongo } from "mongoose";
import type { Doc } from "../../model.ts";
import type { Outcome, Write } from "../../store.ts";
import { applyChange } from "../change.ts";
import { checkId, type Fields, newFields } from "../document.ts";
import { operatorsOf, touchedBy } from "./change.ts";
import { codes, duplicateOf, refusalOf, translate } from "./failure.ts";
import { guardedFilter } from "./filter.ts";
import { readMany } from "./reader.ts";
import { idOf, type Placed, segmentsOf } from "./segments.ts";
import { encodeFields, type Shelf, type Stored, storedOf } from "./shelf.ts";
import { allows, busy, deleteDoc, insertable, insertDoc, type Update, upsertable, writeAlone } from "./writer.ts";

/** Writes of one call. A server lets others see them at its end, so calls stay short. */
const CALL = 2_000;

/** Deletes that are on their way at once. */
const DELETES = 8;

/** How often what the server let go without effect, to end a deadlock, is sent again. */
const ROUNDS = 6;

/** One write as the server gets it. Undefined `operation`: it is not one operation and is done alone. */
interface Job extends Placed {
  id: string;
  operation: mongo.AnyBulkWriteOperation<Stored> | undefined;
}

/**
 * Writes in order; outcomes in the same order. Everything is checked against the model before anything is sent. Each write has an answer
 * of its own, although a bulk only tells sums and errors: a write that does not apply is made to be an error.
 */
export async function writeAll(shelf: Shelf, writes: readonly Write<Doc>[]): Promise<Outcome<Doc>[]> {
  const jobs = writes.map((write, place) => jobOf(shelf, write, place));
  const outcomes: Outcome<Doc>[] = [];
  for (const segment of segmentsOf(shelf.model, writes)) {
    // In the order of keys, so that bulks that meet wait for each other instead of locking each other out.
    const sorted = segment.map(({ place }) => jobs[place] as Job).sort((a, b) => (a.id < b.id ? -1 : 1));
    for (let from = 0; from < sorted.length; from += CALL)
      await writeSegment(shelf, sorted.slice(from, from + CALL), outcomes);
  }
  return outcomes;
}

function jobOf(shelf: Shelf, write: Write<Doc>, place: number): Job {
  const id = idOf(write);
  checkId(shelf.model, id);
  if (write.kind === "delete") return { write, place, id, operation: undefined };
  if (write.kind === "insert") {
    const document = storedOf(shelf, id, insertable(shelf, write.doc));
    return { write, place, id, operation: { insertOne: { document } } };
  }
  return { write, place, id, operation: updateOf(shelf, write as Update) };
}

/**
 * An update is sent as an upsert, because only that fails for itself. One that may not make a document asks, should it come to that, for
 * another `_id` than its filter's, which the server refuses (IMMUTABLE_FIELD). One that may, meets the id of the document whose
 * guard does not hold (DUPLICATE_KEY).
 */
function updateOf(shelf: Shelf, update: Update): Job["operation"] {
  const { id, guard, upsert } = update;
  const operators = operatorsOf(shelf.model, update.change);
  const filter = guardedFilter(shelf, id, guard);
  if (operators === undefined || filter === undefined || guard?.version === 0) return undefined;
  const made = upsert === undefined || guard?.version !== undefined ? { _id: "" } : madeOf(shelf, update);
  if (made === undefined) return undefined;
  const change = Object.keys(made).length === 0 ? operators : { ...operators, $setOnInsert: made };
  return { updateOne: { filter, update: change as mongo.UpdateFilter<Stored>, upsert: true } };
}

/** What an upsert adds to its change; undefined when the change on nothing gives another document than on the upsert's fields. */
function madeOf(shelf: Shelf, update: Update): Fields | undefined {
  const { model } = shelf;
  const made = upsertable(shelf, update);
  const touched = touchedBy(update.change);
  const given = newFields(model, update.upsert as Fields);
  if ([...touched].some((name) => given[name] !== undefined)) {
    const bare: Fields = {};
    applyChange(model, bare, update.change);
    if (![...touched].every((name) => isDeepStrictEqual(bare[name], made[name]))) return undefined;
  }
  for (const name in model.fields)
    if (model.fields[name]?.required === true && made[name] === undefined) return undefined;
  for (const name of touched) delete made[name];
  return encodeFields(made);
}

async function writeSegment(shelf: Shelf, jobs: readonly Job[], outcomes: Outcome<Doc>[]): Promise<void> {
  const [bulk, alone] = [jobs.filter(({ operation }) => operation), jobs.filter(({ operation }) => !operation)];
  const doubtful: Job[] = [];
  let left = bulk;
  for (let round = 0; left.length > 0; round++) {
    if (round === ROUNDS) throw busy();
    const errors = await send(shelf, left);
    const again: Job[] = [];
    left.forEach((job, index) => {
      const error = errors.get(index);
      if (error === undefined) outcomes[job.place] = { kind: "applied" };
      else if (error.code === codes.DEADLOCK || error.code === codes.WRITE_CONFLICT) again.push(job);
      else settle({ job, error, outcomes, doubtful });
    });
    left = again;
  }
  await decide(shelf, doubtful, outcomes);
  for (const { write, place } of alone.filter(({ write }) => write.kind === "update")) {
    const updated = await writeAlone(shelf, write as Update);
    outcomes[place] = updated.kind === "applied" ? { kind: "applied" } : updated;
  }
  await deleteAll(
    shelf,
    alone.filter(({ write }) => write.kind === "delete"),
    outcomes,
  );
}

/** What the server had against single writes, by their index. */
async function send(shelf: Shelf, jobs: readonly Job[]): Promise<Map<number, mongo.WriteError>> {
  const operations = jobs.map(({ operation }) => operation as mongo.AnyBulkWriteOperation<Stored>);
  return shelf.run(async () => {
    try {
      await shelf.collection.bulkWrite(operations, { ordered: false });
      return new Map();
    } catch (error) {
      if (!(error instanceof mongo.MongoBulkWriteError)) throw error;
      const errors = [error.writeErrors].flat();
      if (errors.length === 0 || error.result.getWriteConcernError() !== undefined) throw error;
      return new Map(errors.map((one) => [one.index, one]));
    }
  });
}

interface Refused {
  job: Job;
  error: mongo.WriteError;
  outcomes: Outcome<Doc>[];
  doubtful: Job[];
}

/** The outcome of a write that was refused, or the doubt about it. Nothing was written. */
function settle({ job, error, outcomes, doubtful }: Refused): void {
  const { write, place } = job;
  const code = Number(error.code);
  if (code === codes.IMMUTABLE_FIELD) {
    outcomes[place] = { kind: "unmet" };
    return;
  }
  const index = duplicateOf({ code, message: error.errmsg });
  if (index === undefined) throw refusalOf(code, error) ?? translate(new mongo.MongoServerError({ ...error.toJSON() }));
  const makes = write.kind === "insert" || (write.kind === "update" && write.upsert !== undefined);
  if (makes || index === "_id_") doubtful.push(job);
  else outcomes[place] = { kind: "conflict", index };
}

/** Looks at what is stored to tell a guard that does not hold, or an id that is taken, from a race or a unique index. */
async function decide(shelf: Shelf, doubtful: readonly Job[], outcomes: Outcome<Doc>[]): Promise<void> {
  if (doubtful.length === 0) return;
  const stored = await readMany(
    shelf,
    doubtful.map(({ id }) => id),
  );
  for (const { write, place, id } of doubtful) {
    const doc = stored.get(id);
    if (write.kind === "insert") {
      outcomes[place] = doc === undefined ? await insertDoc(shelf, write.doc) : { kind: "exists", doc };
    } else if (write.kind === "update") {
      if (doc !== undefined && !allows(shelf, write.guard, doc)) outcomes[place] = { kind: "unmet" };
      else {
        const updated = await writeAlone(shelf, write as Update);
        outcomes[place] = updated.kind === "applied" ? { kind: "applied" } : updated;
      }
    }
  }
}

/** A bulk of deletes tells their number only, so each is a call. */
async function deleteAll(shelf: Shelf, jobs: readonly Job[], outcomes: Outcome<Doc>[]): Promise<void> {
  const queue = [...jobs];
  const work = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift())
      outcomes[job.place] = (await deleteDoc(shelf, job.id)) ? { kind: "applied" } : { kind: "unmet" };
  };
  await Promise.all(Array.from({ length: Math.min(DELETES, jobs.length) }, work));
}
