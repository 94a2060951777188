import type { Condition } from "#gen/waymark/analytics/v1/filter_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import type { Params } from "../engine/query.ts";
import { fail } from "../reasons.ts";
import type { Scope } from "../scope.ts";
import type { Parts } from "../scoring/parts.ts";
import { weightParams } from "../scoring/score-sql.ts";
import { seesPeople } from "../visitors/people.ts";
import { fieldOf, isPersonal, namesOf, type QueryField } from "./fields.ts";
import { type From, type Place, relationOf } from "./levels.ts";
import { comparedOf, predicateOf } from "./predicate.ts";
import { openValues, type Values } from "./values.ts";
import { spanOf } from "./visit-type.ts";

/** A condition in SQL that follows WHERE or AND, with the values of its parameters. */
export interface Where {
  sql: string;
  params: Params;
}

/** What conditions about the past of visitors look at. */
export interface Seen {
  /** All that the caller sees: its scope without narrowing. */
  scope: Scope;
  /** What the question is about, narrowed by link, tag, visitor and time alone; all, when it is absent. */
  asked?: Scope | undefined;
  /** Time of the question, milliseconds since 1970. */
  now: number;
  /** Weights of the workspace's lead score; without them `score` is refused. */
  weights?: Parts | undefined;
}

/** Conditions nest so deep, and there are so many of them in all, at most. */
const MOST_DEPTH = 4;
const MOST_CONDITIONS = 100;

/**
 * All conditions, over rows of the view `touches` (events) or of `peopleSql` (visitors); TRUE when there are none. The
 * statement must bind `$workspace` and `$test` as every scope does. Values are bound under names that begin with
 * `prefix`. Without `seen`, fields that look at the past of visitors are refused. Refuses unknown fields, operators that
 * a field does not take, and values of another kind.
 */
export function compileWhere(conditions: readonly Condition[], from: From, prefix = "w", seen?: Seen): Where {
  const values = openValues(prefix);
  const place = seen && placeOf(seen, values);
  const hasScore = seen?.weights !== undefined;
  let count = 0;
  const compile = (condition: Condition, path: string, depth: number): string => {
    count += 1;
    if (count > MOST_CONDITIONS) throw fail("TOO_MANY_CONDITIONS", { field: path, most: MOST_CONDITIONS });
    if (condition.anyOf.length === 0) return one({ condition, path, from, values, place, hasScore });
    if (condition.field !== "") throw fail("CONDITION_AMBIGUOUS", { field: `${path}.field` });
    if (depth >= MOST_DEPTH) throw fail("CONDITION_TOO_DEEP", { field: `${path}.any_of`, most: MOST_DEPTH });
    return `(${condition.anyOf.map((inner, n) => compile(inner, `${path}.any_of[${n}]`, depth + 1)).join(" OR ")})`;
  };
  const parts = conditions.map((condition, n) => compile(condition, `where[${n}]`, 1));
  const params = seen === undefined ? values.params : { ...paramsOf(seen), ...values.params };
  return { sql: parts.length === 0 ? "TRUE" : parts.join(" AND "), params };
}

/** The values that fields about the past of visitors need. */
export function paramsOf({ scope, asked, weights }: Seen): Params {
  return { ...scope.params, ...asked?.params, ...(weights === undefined ? {} : weightParams(weights)) };
}

/** Refuses a key that may not see visitors. */
export function checkVisitors(principal: Pick<Principal, "scopes" | "keyClass">): void {
  if (!seesPeople(principal)) throw refuse("PERMISSION_DENIED", { scope: "visitors:read" });
}

/** Refuses conditions and fields that tell who somebody is to a key that may not see visitors. */
export function checkPersonal(
  { scopes, keyClass }: Pick<Principal, "scopes" | "keyClass">,
  asked: { from: From; where: readonly Condition[]; fields?: readonly QueryField[] },
): void {
  if (seesPeople({ scopes, keyClass })) return;
  const isAsked = ({ field: name, anyOf }: Condition): boolean => {
    const field = fieldOf(asked.from, name);
    return (field !== undefined && isPersonal(field)) || anyOf.some(isAsked);
  };
  if (asked.where.some(isAsked) || asked.fields?.some(isPersonal))
    throw refuse("PERMISSION_DENIED", { scope: "visitors:read" });
}

/** Where fields find the past, with the time of the question bound. */
export function placeOf({ scope, asked = scope, now }: Seen, values: Values): Place {
  return { seen: scope.sql, asked: spanOf(asked), now: values.bindAs("Now", BigInt(Math.floor(now))) };
}

interface Single {
  condition: Condition;
  path: string;
  from: From;
  values: Values;
  place: Place | undefined;
  hasScore: boolean;
}

function one({ condition, path, from, values, place, hasScore }: Single): string {
  const field = fieldOf(from, condition.field);
  if (field === undefined) throw fail("FIELD_UNKNOWN", { field: `${path}.field`, name: "it", known: namesOf(from) });
  const isHere = field.level === "score" ? hasScore : !field.isPast || place !== undefined;
  if (!isHere) throw fail("FIELD_NOT_HERE", { field: `${path}.field`, name: field.name });
  const compared = comparedOf(condition, { field, path });
  const predicate = predicateOf(compared, { field, values, place: place ?? NOWHERE });
  const found = within(field, { predicate, from, place: place ?? NOWHERE, values });
  return compared.isNegated ? `NOT coalesce(${found}, false)` : found;
}

/** For fields that look at no past. */
const NOWHERE: Place = { seen: "false", asked: { sql: "false", hasStart: false }, now: "0" };

/** A predicate over the rows of a field's level, as one over the rows of the question. */
function within(
  field: QueryField,
  { predicate, from, place, values }: { predicate: string; from: From; place: Place; values: Values },
): string {
  const { level } = field;
  if (level === "event" || (level === "visitor" && from === "visitors")) return `(${predicate})`;
  const key = field.key === undefined ? "" : values.bind(field.key);
  const { sql, by, key: found } = relationOf(level, place, key);
  return `${by} IN (SELECT ${found} FROM (${sql}) WHERE ${predicate})`;
}
