import {
  VisitorAttributeFilterOperator as Operator,
  type VisitorAttributeFilter,
  VisitorAttributeFilterOperatorSchema,
} from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { fail as refuse } from "#runtime/failure.ts";
import type { Values } from "../fields/values.ts";
import { PROFILE_KEYS, timeOf } from "./rules.ts";

/** A condition on one attribute, checked. */
export interface Filter {
  key: string;
  is: Comparison;
  /** Of the kind that the comparison takes: a time is milliseconds since 1970. */
  value: string | number;
  /** It holds where the comparison does not. */
  isNegated: boolean;
  /** It holds for visitors who have no such attribute. */
  isOpen: boolean;
}

type Comparison = "text" | "contains" | "starts" | "ends" | "there" | "truth" | `${"number" | "time"} ${Sign}`;
type Sign = "=" | ">" | "<" | ">=" | "<=";

interface Meaning {
  is: Comparison;
  isNegated?: boolean;
  /** What is compared with, where the filter's value is not looked at. */
  value?: string;
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  [Operator.STRING_EQUALS]: { is: "text" },
  [Operator.STRING_NOT_EQUALS]: { is: "text", isNegated: true },
  [Operator.STRING_CONTAINS]: { is: "contains" },
  [Operator.STRING_NOT_CONTAINS]: { is: "contains", isNegated: true },
  [Operator.STRING_STARTS_WITH]: { is: "starts" },
  [Operator.STRING_ENDS_WITH]: { is: "ends" },
  [Operator.STRING_IS_EMPTY]: { is: "text", value: "" },
  [Operator.STRING_IS_NOT_EMPTY]: { is: "text", value: "", isNegated: true },
  [Operator.NUMBER_EQUALS]: { is: "number =" },
  [Operator.NUMBER_NOT_EQUALS]: { is: "number =", isNegated: true },
  [Operator.NUMBER_GREATER_THAN]: { is: "number >" },
  [Operator.NUMBER_LESS_THAN]: { is: "number <" },
  [Operator.NUMBER_GREATER_OR_EQUAL]: { is: "number >=" },
  [Operator.NUMBER_LESS_OR_EQUAL]: { is: "number <=" },
  [Operator.DATE_EQUALS]: { is: "time =" },
  [Operator.DATE_BEFORE]: { is: "time <" },
  [Operator.DATE_AFTER]: { is: "time >" },
  [Operator.DATE_BEFORE_OR_EQUAL]: { is: "time <=" },
  [Operator.DATE_AFTER_OR_EQUAL]: { is: "time >=" },
  [Operator.BOOLEAN_IS_TRUE]: { is: "truth", value: "" },
  [Operator.BOOLEAN_IS_FALSE]: { is: "truth", value: "", isNegated: true },
  [Operator.EXISTS]: { is: "there", value: "" },
  [Operator.NOT_EXISTS]: { is: "there", value: "", isNegated: true },
};

/** Comparisons of texts: an attribute that is not there reads as an empty one. */
const OF_TEXTS: readonly Comparison[] = ["text", "contains", "starts", "ends"];

/** Columns of what every visitor can have, by key. */
const PROFILE: Readonly<Record<(typeof PROFILE_KEYS)[number], string>> = {
  $email: "email",
  $phone: "phone",
  $firstName: "first_name",
  $lastName: "last_name",
};

/** The conditions of a request; refuses those that cannot be asked, and names what is wrong. */
export function readFilters(filters: readonly VisitorAttributeFilter[]): Filter[] {
  return filters.map((filter, index) => readFilter(filter, `attribute_filters[${index}]`));
}

function readFilter({ key, operator, value: given }: VisitorAttributeFilter, path: string): Filter {
  const meaning = MEANINGS[operator];
  const name = VisitorAttributeFilterOperatorSchema.value[operator]?.name.replace(/^.*_OPERATOR_/, "") ?? "";
  const must = (field: string, what: string) => refuse("INVALID_FIELD", { field: `${path}.${field}`, must: what });
  if (meaning === undefined) throw must("operator", "must be an operator");
  const isProfile = isProfileKey(key);
  if (key.startsWith("$") && !isProfile) throw must("key", `must be one of ${PROFILE_KEYS.join(", ")}, or without $`);
  if (isProfile && /^(?:number|time|truth)/.test(meaning.is))
    throw must("operator", `must be STRING_*, EXISTS or NOT_EXISTS, because ${key} is a text`);
  const value = meaning.value ?? comparedWith(meaning.is, key === "$email" ? given.toLowerCase() : given);
  if (value === undefined && meaning.is.startsWith("number")) throw must("value", `must be a number with ${name}`);
  if (value === undefined)
    throw must("value", `must be a date as 2026-03-01, or an ISO 8601 time with zone, with ${name}`);
  const { is, isNegated = false } = meaning;
  // Each of these holds for the empty text if its value is empty. Numbers and times hold for none but their kind.
  const isText = OF_TEXTS.includes(is);
  const isOpen = isText ? (value === "") !== isNegated : isNegated && (is === "truth" || is === "there");
  return { key, is, value, isNegated, isOpen };
}

// "8", "-0.5", "8e5"
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?$/i;

/** A filter's value as it is compared; undefined: it is not of that kind. */
function comparedWith(is: Comparison, text: string): string | number | undefined {
  if (is.startsWith("number")) {
    const number = NUMBER.test(text.trim()) ? Number(text) : Number.NaN;
    return Number.isFinite(number) ? number : undefined;
  }
  return is.startsWith("time") ? timeOf(text.trim()) : text;
}

function isProfileKey(key: string): key is keyof typeof PROFILE {
  return Object.hasOwn(PROFILE, key);
}

/** Visitors as SQL of their keys: those whom filters choose, or, where `isExcluding`, all whom they do not. */
export interface Chosen {
  sql: string;
  isExcluding: boolean;
}

/**
 * Whom filters choose, from one pass over the attributes that they name. Where each of them holds for visitors who have no
 * attribute, those cannot be listed, and the others are. `own`: the condition of the workspace's rows.
 */
export function chosenBy(filters: readonly Filter[], { own, values }: { own: string; values: Values }): Chosen {
  const isExcluding = filters.every(({ isOpen }) => isOpen);
  const conditions = filters.map((filter) => {
    const isMet = `bool_or(coalesce(key = ${values.bind(filter.key)} AND ${decisiveOf(filter, values)}, false))`;
    return filter.isOpen && !isExcluding ? `NOT ${isMet}` : isMet;
  });
  const having = conditions.join(isExcluding ? " OR " : " AND ");
  return {
    sql: `SELECT visitor_key FROM (${rowsOf(filters, { own, values })}) GROUP BY 1 HAVING ${having}`,
    isExcluding,
  };
}

/** What a row must be to decide: for the filter, or against one that holds for those without a row. */
function decisiveOf(filter: Filter, values: Values): string {
  const predicate = predicateOf(filter, values);
  return filter.isNegated === filter.isOpen ? predicate : `NOT (${predicate})`;
}

/** Rows of the attributes that filters name; what the profile has as if it were attributes. */
function rowsOf(filters: readonly Filter[], { own, values }: { own: string; values: Values }): string {
  const keys = [...new Set(filters.map(({ key }) => key))];
  const named = values.bind(keys.filter((key) => !isProfileKey(key)));
  const attributes = `SELECT visitor_key, key, text, number, truth, time FROM attributes WHERE ${own} AND list_contains(${named}, key)`;
  const profile = keys.filter(isProfileKey).map((key) => {
    const column = PROFILE[key];
    return `SELECT visitor_key, '${key}', ${column}, NULL, NULL, NULL FROM visitors WHERE ${own} AND ${column} IS NOT NULL`;
  });
  return [attributes, ...profile].join(" UNION ALL ");
}

/** SQL over an attribute's row. Of what is no number, `number` is NULL, and so is any comparison with it. */
function predicateOf({ is, value }: Filter, values: Values): string {
  const text = () => values.bind(String(value));
  switch (is) {
    case "text":
      return `text = ${text()}`;
    case "contains":
      return `contains(text, ${text()})`;
    case "starts":
      return `starts_with(text, ${text()})`;
    case "ends":
      return `ends_with(text, ${text()})`;
    case "truth":
      return "truth IS TRUE";
    case "there":
      return "TRUE";
    default:
      return `${is} ${values.bindNumber(Number(value))}`;
  }
}
