/** A document: an id unique in its workspace, and the version that the store counts up at each write. */
export interface Doc {
  id: string;
  version?: number;
}

/** Kinds of fields. Times are numbers: milliseconds since 1970. `object` and `list` are JSON and cannot be filtered by. */
export type FieldKind = "string" | "number" | "boolean" | "strings" | "object" | "list";

/** One field of a model. */
export interface Field {
  kind: FieldKind;
  /** The store refuses a document without it. */
  required?: boolean;
  /** Given to a new document that lacks it. */
  default?: string | number | boolean | readonly string[];
}

/** An index within a workspace. Every find and count that can meet many documents has one that serves filter and sort. */
export interface Index {
  name: string;
  fields: readonly string[];
  unique?: boolean;
}

/** What one collection holds. One table gives every engine its columns, checks, defaults and indexes. */
export interface Model<T extends Doc> {
  /** Unique over all services: "tags.threads". */
  name: string;
  fields: Readonly<Record<string, Field>>;
  indexes: readonly Index[];
  /** Only for inference. */
  readonly _doc?: T;
}

/** Declares a model, checking that each field of T is in the table and each index names fields of it. */
export function defineModel<T extends Doc>(model: {
  name: string;
  fields: { readonly [K in Exclude<keyof T, "id" | "version">]-?: Field };
  indexes: readonly { name: string; fields: readonly (keyof T & string)[]; unique?: boolean }[];
}): Model<T> {
  return model as Model<T>;
}
