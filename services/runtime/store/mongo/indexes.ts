import { isDeepStrictEqual } from "node:util";
import { mongo, type Schema } from "mongoose";
import { codes } from "./failure.ts";
import type { Stored } from "./shelf.ts";

/** Tries against other processes that make the same indexes at the same time. */
const TRIES = 5;

/** Makes the collection, and the indexes of a schema that the collection lacks. An index of the same name that is another is replaced; others stay. */
export async function buildIndexes(db: mongo.Db, name: string, schema: Schema): Promise<void> {
  const collection = db.collection<Stored>(name);
  const wanted = schema.indexes().map(([key, options]) => ({ key, ...options }) as Wanted);
  for (let left = TRIES; ; left--) {
    const found = new Map((await listed(collection)).map((index) => [index.name, index]));
    if (found.size === 0) await make(db, name);
    const missing = wanted.filter((index) => !isSame(index, found.get(index.name)));
    if (missing.length === 0) return;
    const failure = await attempt(collection, missing, found);
    if (failure === undefined) return;
    if (left === 0) throw failure;
  }
}

interface Wanted {
  key: Record<string, 1>;
  name: string;
  unique?: boolean;
  partialFilterExpression?: object;
}

async function attempt(
  collection: mongo.Collection<Stored>,
  missing: readonly Wanted[],
  found: ReadonlyMap<string, Wanted>,
): Promise<unknown> {
  for (const { key, name, ...options } of missing) {
    try {
      if (found.has(name)) await collection.dropIndex(name);
      await collection.createIndex(key, { name, ...options });
    } catch (error) {
      if (!(error instanceof mongo.MongoServerError)) throw error;
      if (isDuplicate(error) && options.unique === true)
        return new Error(
          `${collection.collectionName}: the index ${name} cannot be unique, documents share its fields`,
          { cause: error },
        );
      return error;
    }
  }
}

async function listed(collection: mongo.Collection<Stored>): Promise<Wanted[]> {
  try {
    return (await collection.indexes()) as unknown as Wanted[];
  } catch (error) {
    if (!hasCode(error, codes.NAMESPACE_NOT_FOUND)) throw error;
    return [];
  }
}

async function make(db: mongo.Db, name: string): Promise<void> {
  try {
    await db.createCollection(name);
  } catch (error) {
    if (!hasCode(error, codes.NAMESPACE_EXISTS)) throw error;
  }
}

function hasCode(error: unknown, code: number): boolean {
  return error instanceof mongo.MongoServerError && error.code === code;
}

function isSame(wanted: Wanted, found: Wanted | undefined): boolean {
  if (found === undefined) return false;
  const shape = ({ key, unique = false, partialFilterExpression }: Wanted) => ({
    key: Object.entries(key).map(([name, direction]) => [name, Number(direction)]),
    unique,
    partialFilterExpression,
  });
  return isDeepStrictEqual(shape(wanted), shape(found));
}

/** FerretDB says with code 1 that PostgreSQL could not create its constraint. */
function isDuplicate({ code, message }: mongo.MongoServerError): boolean {
  return code === codes.DUPLICATE_KEY || /could not create (exclusion constraint|unique index)/.test(message);
}
