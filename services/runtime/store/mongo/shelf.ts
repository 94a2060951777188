import type { mongo } from "mongoose";
import type { Doc, Model } from "../../model.ts";
import type { Fields } from "../document.ts";
import { decodeValue, encodeValue } from "./names.ts";

/** A document as it lies in MongoDB. `_id` is the workspace, a slash and the id: unique, in order of ids, and a shard key's tail. */
export interface Stored {
  _id: string;
  /** The workspace: first field of every index and of the shard key. */
  _w: string;
  version: number;
  [field: string]: unknown;
}

/** A document as it is handed out. */
export type Found = Doc & Fields;

/** The documents of one model in one workspace. */
export interface Shelf {
  model: Model<Doc>;
  collection: mongo.Collection<Stored>;
  workspace: string;
  /** What `_id` begins with. */
  prefix: string;
  /** Runs one call of the driver; what it throws is one of the store's own failures. */
  run: <R>(call: () => Promise<R>) => Promise<R>;
  /** The same for a call that changes nothing. */
  read: <R>(call: () => Promise<R>) => Promise<R>;
}

/** What each `_id` of a workspace begins with. A slash in a workspace's name cannot be taken for the one behind it. */
export function prefixOf(workspace: string): string {
  return `${workspace.replaceAll("%", "%25").replaceAll("/", "%2F")}/`;
}

/** The two fields that name one document, for every filter: a sharded cluster finds its shard by them. */
export function keyOf({ prefix, workspace }: Shelf, id: string): { _id: string; _w: string } {
  return { _id: prefix + id, _w: workspace };
}

/** The fields of a document, as they are stored. */
export function encodeFields(fields: Fields): Fields {
  const stored: Fields = {};
  for (const name in fields) {
    const value = fields[name];
    if (value !== undefined) stored[name] = encodeValue(value);
  }
  return stored;
}

/** A whole new document, as it is stored. */
export function storedOf(shelf: Shelf, id: string, fields: Fields): Stored {
  return { ...keyOf(shelf, id), ...encodeFields(fields), version: 1 };
}

/** Id, version and fields of what was read. */
export function docOf({ model, prefix }: Shelf, stored: Stored): Found {
  const doc: Found = { id: stored._id.slice(prefix.length), version: stored.version };
  for (const name in stored) {
    if (name === "_id" || name === "_w" || name === "version") continue;
    const kind = Object.hasOwn(model.fields, name) ? model.fields[name]?.kind : undefined;
    if (kind !== undefined) doc[name] = kind === "object" || kind === "list" ? decodeValue(stored[name]) : stored[name];
  }
  return doc;
}

/** The fields alone of what was read. */
export function fieldsOf(shelf: Shelf, stored: Stored): Fields {
  const { id: _id, version: _version, ...fields } = docOf(shelf, stored);
  return fields;
}
