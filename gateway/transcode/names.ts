import { type DescEnum, type DescField, type DescMessage, getOption } from "@bufbuild/protobuf";
import {
  EnumStyle,
  enum$ as enumOption,
  type FieldRules,
  field as fieldOption,
} from "#gen/waymark/options/v1/options_pb.ts";
import type { Dialect } from "../dialects/dialect.ts";

/** What the proto says about a field in REST; everything is off when it says nothing. */
export function fieldRules(field: DescField): FieldRules {
  return getOption(field, fieldOption);
}

/** The fields of a message that REST has. */
export function publicFields(message: DescMessage): readonly DescField[] {
  return message.fields.filter((field) => !fieldRules(field).internal);
}

/** Name of a field in bodies. */
export function bodyName(field: DescField, dialect: Dialect): string {
  return fieldRules(field).name || (dialect.bodyNames === "proto" ? field.name : field.jsonName);
}

/** Name of a field in queries and paths. */
export function queryName(field: DescField, dialect: Dialect): string {
  return dialect.queryNames === "proto" ? field.name : field.jsonName;
}

/** Whether a field's members stand in its place. */
export function isFlat(field: DescField): boolean {
  return field.fieldKind === "message" && fieldRules(field).flatten;
}

/** How a 64-bit integer of this field is written. */
export function int64AsString(field: DescField, dialect: Dialect): boolean {
  return dialect.isAllNumbers !== true && dialect.int64AsString !== fieldRules(field).flipInt64;
}

/** The words of an enum in a dialect. */
export interface EnumWords {
  /** Number to word. The UNSPECIFIED value is missing unless names are written in full. */
  write: ReadonlyMap<number, string>;
  /** Word in any of the three spellings to number. */
  read: ReadonlyMap<string, number>;
  /** What a caller may say, in the spelling of the dialect, without UNSPECIFIED. */
  choices: readonly string[];
}

const STYLES: Record<number, "upper" | "lower" | "full" | undefined> = {
  [EnumStyle.UPPER]: "upper",
  [EnumStyle.LOWER]: "lower",
  [EnumStyle.FULL]: "full",
};

/** How an enum is written and read in a dialect. */
export function enumWords(desc: DescEnum, dialect: Dialect): EnumWords {
  const style = STYLES[getOption(desc, enumOption).style] ?? dialect.enumStyle;
  const write = new Map<number, string>();
  const read = new Map<string, number>();
  const choices: string[] = [];
  const prefix = (desc.sharedPrefix ?? "").toUpperCase();
  for (const value of desc.values) {
    const upper = value.name.startsWith(prefix) ? value.name.slice(prefix.length) : value.name;
    const words = { upper, lower: upper.toLowerCase(), full: value.name };
    const unspecified = value.number === 0 && /(?:^|_)UNSPECIFIED$/.test(value.name);
    read.set(value.name, value.number);
    if (!unspecified) for (const word of [words.upper, words.lower]) if (!read.has(word)) read.set(word, value.number);
    if ((!unspecified || style === "full") && !write.has(value.number)) write.set(value.number, words[style]);
    if (!unspecified) choices.push(words[style]);
  }
  return { write, read, choices };
}
