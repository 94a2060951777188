import { fromJson } from "@bufbuild/protobuf";
import { TimestampSchema, timestampMs, type Value } from "@bufbuild/protobuf/wkt";
import { type Condition, Operator, OperatorSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { fail } from "../reasons.ts";
import type { FieldKind, QueryField } from "./fields.ts";
import type { Place } from "./levels.ts";
import type { Values } from "./values.ts";

/** A value as conditions have it. */
export type Plain = string | number | boolean;

/** What a condition compares, checked against its field. `isNegated`: it holds where the rest does not, or is unknown. */
export interface Compared {
  op: "is" | "in" | "less" | "atMost" | "greater" | "atLeast" | "contains" | "startsWith" | "known";
  isNegated: boolean;
  /** Of the field's kind: times are milliseconds, words of enums are in full. */
  values: readonly Plain[];
}

const MEANINGS: ReadonlyMap<Operator, Pick<Compared, "op" | "isNegated">> = new Map<
  Operator,
  Pick<Compared, "op" | "isNegated">
>([
  [Operator.EQUALS, { op: "is", isNegated: false }],
  [Operator.NOT_EQUALS, { op: "is", isNegated: true }],
  [Operator.IN, { op: "in", isNegated: false }],
  [Operator.NOT_IN, { op: "in", isNegated: true }],
  [Operator.LESS, { op: "less", isNegated: false }],
  [Operator.AT_MOST, { op: "atMost", isNegated: false }],
  [Operator.GREATER, { op: "greater", isNegated: false }],
  [Operator.AT_LEAST, { op: "atLeast", isNegated: false }],
  [Operator.CONTAINS, { op: "contains", isNegated: false }],
  [Operator.STARTS_WITH, { op: "startsWith", isNegated: false }],
  [Operator.IS_KNOWN, { op: "known", isNegated: false }],
  [Operator.IS_UNKNOWN, { op: "known", isNegated: true }],
]);

const EQUALITY = [Operator.EQUALS, Operator.NOT_EQUALS, Operator.IN, Operator.NOT_IN];
const ORDER = [Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST];
const TEXTS = [Operator.CONTAINS, Operator.STARTS_WITH];
const KNOWING = [Operator.IS_KNOWN, Operator.IS_UNKNOWN];

/** The operators that fields of a kind take. */
const TAKES: Readonly<Record<FieldKind, readonly Operator[]>> = {
  string: [...EQUALITY, ...TEXTS, ...KNOWING],
  number: [...EQUALITY, ...ORDER, ...KNOWING],
  time: [...EQUALITY, ...ORDER, ...KNOWING],
  boolean: [Operator.EQUALS, Operator.NOT_EQUALS, ...KNOWING],
  enum: [...EQUALITY, ...KNOWING],
  strings: [...EQUALITY, ...KNOWING],
};

/** Attributes have no declared kind: what is compared is of the kind of the value. */
const ATTRIBUTE_TAKES = [...EQUALITY, ...ORDER, ...TEXTS, ...KNOWING];

/** The operators that a field takes, by their names. */
export function operatorsOf(field: QueryField): string[] {
  const taken = field.level === "attribute" ? ATTRIBUTE_TAKES : TAKES[field.kind];
  return taken.map((op) => String(OperatorSchema.value[op]?.name.replace("OPERATOR_", "")));
}

/** Checks a condition against its field. `path`: where it stands in the request, in proto names. */
export function comparedOf(condition: Condition, { field, path }: { field: QueryField; path: string }): Compared {
  const op = condition.op === Operator.UNSPECIFIED ? Operator.EQUALS : condition.op;
  const taken = field.level === "attribute" ? ATTRIBUTE_TAKES : TAKES[field.kind];
  const meaning = MEANINGS.get(op);
  if (meaning === undefined || !taken.includes(op))
    throw fail("OPERATOR_NOT_TAKEN", { field: `${path}.op`, name: field.name, known: operatorsOf(field).join(", ") });
  const single = condition.value?.kind;
  if (meaning.op === "known") {
    const isTurned = single?.case === "boolValue" && !single.value;
    return { op: "known", isNegated: meaning.isNegated !== isTurned, values: [] };
  }
  if (meaning.op === "in") return { ...meaning, values: listOf(condition, { field, path }) };
  if (meaning.op === "is" && single?.case === "nullValue")
    return { op: "known", isNegated: !meaning.isNegated, values: [] };
  const value = plainOf(condition.value, { field, path: `${path}.value` });
  if ((meaning.op === "contains" || meaning.op === "startsWith") && typeof value !== "string")
    throw fail("VALUE_KIND", { field: `${path}.value`, name: field.name, what: "a text" });
  return { ...meaning, values: [value] };
}

/** At most so many values of IN. */
const MOST_VALUES = 1_000;

function listOf({ value, values }: Condition, { field, path }: { field: QueryField; path: string }): Plain[] {
  const isList = values.length === 0 && value?.kind.case === "listValue";
  const [given, name] = isList
    ? [value.kind.case === "listValue" ? value.kind.value.values : [], `${path}.value`]
    : [values, `${path}.values`];
  if (given.length === 0 || given.length > MOST_VALUES) throw fail("VALUES_COUNT", { field: name, most: MOST_VALUES });
  const plain = given.map((one, n) => plainOf(one, { field, path: `${name}[${n}]` }));
  const other = plain.findIndex((one) => typeof one !== typeof plain[0]);
  if (other > 0)
    throw fail("VALUE_KIND", { field: `${name}[${other}]`, name: field.name, what: `a ${typeof plain[0]}` });
  return plain;
}

/** A value of the field's kind; refused when it is not. */
function plainOf(value: Value | undefined, { field, path }: { field: QueryField; path: string }): Plain {
  const given = value?.kind;
  const kind = field.level === "attribute" ? given?.case : field.kind;
  const must = (what: string) => fail("VALUE_KIND", { field: path, name: field.name, what });
  switch (kind) {
    case "number":
    case "numberValue":
      if (given?.case === "numberValue" && Number.isFinite(given.value)) return given.value;
      throw must("a number");
    case "boolean":
    case "boolValue":
      if (given?.case === "boolValue") return given.value;
      throw must("true or false");
    case "time":
      return timeOf(given?.case === "stringValue" ? given.value : "") ?? raise(must("an ISO 8601 time with zone"));
    case "enum":
      return (
        wordOf(field, given?.case === "stringValue" ? given.value : "") ??
        raise(must(`one of ${field.words.join(", ")}`))
      );
    default:
      if (given?.case === "stringValue") return given.value;
      throw must(field.level === "attribute" ? "a text, a number, true or false" : "a text");
  }
}

function raise(error: Error): never {
  throw error;
}

// "2026-03-20"
const DATE = /^\d{4}-\d\d-\d\d$/;

function timeOf(text: string): number | undefined {
  try {
    return Math.floor(timestampMs(fromJson(TimestampSchema, DATE.test(text) ? `${text}T00:00:00Z` : text)));
  } catch {
    return undefined;
  }
}

/** The word of an enum in full, from its short form as well: "MOBILE", "mobile". */
function wordOf({ words }: QueryField, text: string): string | undefined {
  const upper = text.toUpperCase();
  return text === "" ? undefined : words.find((word) => word === upper || word.endsWith(`_${upper}`));
}

const SIGNS = { less: "<", atMost: "<=", greater: ">", atLeast: ">=" } as const;

/** SQL over the rows of the field's level that holds where the comparison does, before it is negated. */
export function predicateOf(
  { op, values: given }: Compared,
  { field, values, place }: { field: QueryField; values: Values; place: Place },
): string {
  const column = field.level === "attribute" ? attributeColumn(given[0]) : field.sql(place);
  const [first = ""] = given;
  if (field.kind === "strings") return stringsPredicate(op, { column, given, values });
  switch (op) {
    case "known":
      return field.level === "attribute" ? "TRUE" : `${column} IS NOT NULL`;
    case "is":
      return `${column} = ${bound(first, values)}`;
    case "in":
      return `${column} IN (${given.map((one) => bound(one, values)).join(", ")})`;
    case "contains":
      return `contains(lower(${column}), lower(${bound(first, values)}))`;
    case "startsWith":
      return `starts_with(lower(${column}), lower(${bound(first, values)}))`;
    default:
      return `${column} ${SIGNS[op]} ${bound(first, values)}`;
  }
}

function stringsPredicate(
  op: Compared["op"],
  { column, given, values }: { column: string; given: readonly Plain[]; values: Values },
): string {
  if (op === "known") return `len(${column}) > 0`;
  return `list_has_any(${column}, ${values.bind(given.map(String))})`;
}

function attributeColumn(value: Plain | undefined): string {
  if (typeof value === "number") return "number";
  return typeof value === "boolean" ? "truth" : "text";
}

function bound(value: Plain, values: Values): string {
  return typeof value === "number" ? values.bindNumber(value) : values.bind(value);
}
