import { type DescField, type DescMessage, getOption } from "@bufbuild/protobuf";
import { field as rulesOf } from "#gen/buf/validate/validate_pb.ts";

/** Says what a value must be, or undefined when it is fine. */
type Check = (value: unknown) => string | undefined;

/** What is wrong with the first field that breaks a rule of its proto, or undefined. */
export type FieldCheck<T> = (message: T) => { field: string; must: string } | undefined;

/**
 * Compiles the buf.validate rules of a message of single optional fields: lengths and patterns of strings, ranges of
 * int32, known values of enums. Items of batches are checked with it, since protovalidate costs 8 µs an item and this
 * some hundred nanoseconds. A rule that it does not know stops the start.
 */
export function compileChecks<T>(desc: DescMessage): FieldCheck<T> {
  const checks = desc.fields.flatMap((field) => {
    const check = checkOf(field);
    return check === undefined ? [] : [{ name: field.name, localName: field.localName, check }];
  });
  return (message) => {
    for (const { name, localName, check } of checks) {
      const value = (message as Record<string, unknown>)[localName];
      const must = value === undefined ? undefined : check(value);
      if (must !== undefined) return { field: name, must };
    }
    return undefined;
  };
}

function checkOf(field: DescField): Check | undefined {
  const { type } = getOption(field, rulesOf);
  if (type.case === undefined) return undefined;
  if (type.case === "string") return checkString(type.value);
  if (type.case === "int32") return checkInt32(type.value);
  if (type.case === "enum" && type.value.definedOnly && field.enum !== undefined) return checkEnum(field.enum.values);
  throw new Error(`${field}: a rule of kind ${type.case} is not checked for items`);
}

function checkString(rules: { minLen: bigint; maxLen: bigint; pattern: string }): Check {
  const least = Number(rules.minLen);
  const most = rules.maxLen === 0n ? Number.POSITIVE_INFINITY : Number(rules.maxLen);
  const pattern = rules.pattern === "" ? undefined : new RegExp(rules.pattern, "u");
  return (value) => {
    const text = value as string;
    if (text.length < least) return "must not be empty";
    if (text.length > most && [...text].length > most) return `must have at most ${most} characters`;
    return pattern === undefined || pattern.test(text) ? undefined : `must match ${pattern.source}`;
  };
}

function checkInt32({ greaterThan, lessThan }: Int32Rules): Check {
  const least = greaterThan.case === "gte" ? (greaterThan.value ?? 0) : Number.NEGATIVE_INFINITY;
  const most = lessThan.case === "lte" ? (lessThan.value ?? 0) : Number.POSITIVE_INFINITY;
  const must = `must be from ${least} to ${most}`;
  return (value) => ((value as number) < least || (value as number) > most ? must : undefined);
}

interface Int32Rules {
  greaterThan: { case?: string | undefined; value?: number | undefined };
  lessThan: { case?: string | undefined; value?: number | undefined };
}

function checkEnum(values: readonly { number: number }[]): Check {
  const known = new Set(values.map(({ number }) => number));
  return (value) => (known.has(value as number) ? undefined : "must be one of the words of the documentation");
}
