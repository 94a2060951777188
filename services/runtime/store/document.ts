import type { Doc, Field, FieldKind, Model } from "../model.ts";

/** The fields of a document as they are stored: without id and version, without what is absent. */
export type Fields = Record<string, unknown>;

const kinds: Readonly<Record<FieldKind, (value: unknown) => boolean>> = {
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number" && Number.isFinite(value),
  boolean: (value) => typeof value === "boolean",
  strings: (value) => Array.isArray(value) && value.every((one) => typeof one === "string"),
  list: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

const nouns: Readonly<Record<FieldKind, string>> = {
  string: "a string",
  number: "a finite number",
  boolean: "true or false",
  strings: "a list of strings",
  list: "a list",
  object: "an object",
};

/** The declared field, or an Error that names the model and what is not in it. */
export function fieldOf(model: Model<Doc>, name: string): Field {
  const field = Object.hasOwn(model.fields, name) ? model.fields[name] : undefined;
  if (field === undefined) throw new Error(`${model.name}: the field ${name} is not in the model`);
  return field;
}

/** Throws unless the value is of the field's kind. */
export function checkKind(model: Model<Doc>, name: string, value: unknown): void {
  const { kind } = fieldOf(model, name);
  if (!kinds[kind](value)) throw new Error(`${model.name}: the field ${name} must be ${nouns[kind]}`);
}

/** The fields of a new document, with defaults for what it lacks; `checkRequired` is left to do. null counts as absent. */
export function newFields(model: Model<Doc>, doc: Readonly<Record<string, unknown>>): Fields {
  const fields: Fields = {};
  for (const name in doc) {
    const value = doc[name];
    if (value === undefined || value === null || name === "id" || name === "version") continue;
    checkKind(model, name, value);
    fields[name] = value;
  }
  for (const name in model.fields) {
    if (fields[name] !== undefined) continue;
    const { default: given } = model.fields[name] as Field;
    if (given !== undefined) fields[name] = Array.isArray(given) ? [...given] : given;
  }
  return fields;
}

/** Throws when a required field is absent. */
export function checkRequired(model: Model<Doc>, fields: Fields): void {
  for (const name in model.fields) {
    if (model.fields[name]?.required === true && fields[name] === undefined)
      throw new Error(`${model.name}: the field ${name} is required`);
  }
}

/** Throws unless it is an id: a string that is not empty. */
export function checkId(model: Model<Doc>, id: unknown): asserts id is string {
  if (typeof id !== "string" || id === "") throw new Error(`${model.name}: a document needs an id`);
}
