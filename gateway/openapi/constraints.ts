import { type DescField, getOption, hasOption, isFieldSet } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  field as fieldOption,
  Ignore,
  type Int32Rules,
  MapRulesSchema,
  RepeatedRulesSchema,
  type StringRules,
  StringRulesSchema,
} from "#gen/buf/validate/validate_pb.ts";

/** A JSON Schema, or a part of one. */
export type Schema = Record<string, unknown>;

/** Whether buf.validate asks for a field: it says so, or an empty value would break a rule. */
export function isRequired(field: DescField): boolean {
  const { required, type, ignore } = getOption(field, fieldOption);
  if (required) return true;
  const checkedWhenEmpty = ignore === Ignore.UNSPECIFIED && field.presence === FeatureSet_FieldPresence.IMPLICIT;
  if (type.case === "repeated") return checkedWhenEmpty && type.value.minItems > 0n;
  return type.case === "string" && checkedWhenEmpty && type.value.minLen > 0n;
}

/** What buf.validate says about a field, as keywords of JSON Schema: `own` for the field, `item` for items of a list. */
export function constraints(field: DescField): { own: Schema; item: Schema } {
  if (!hasOption(field, fieldOption)) return { own: {}, item: {} };
  const rules = getOption(field, fieldOption);
  if (rules.type.case === "repeated") {
    const { minItems, maxItems, unique, items } = rules.type.value;
    const own: Schema = {};
    if (isFieldSet(rules.type.value, RepeatedRulesSchema.field.minItems)) own.minItems = Number(minItems);
    if (isFieldSet(rules.type.value, RepeatedRulesSchema.field.maxItems)) own.maxItems = Number(maxItems);
    if (unique) own.uniqueItems = true;
    return { own, item: items === undefined ? {} : valueConstraints(items) };
  }
  if (rules.type.case === "map") {
    const { minPairs, maxPairs, values } = rules.type.value;
    const own: Schema = {};
    if (isFieldSet(rules.type.value, MapRulesSchema.field.minPairs)) own.minProperties = Number(minPairs);
    if (isFieldSet(rules.type.value, MapRulesSchema.field.maxPairs)) own.maxProperties = Number(maxPairs);
    return { own, item: values === undefined ? {} : valueConstraints(values) };
  }
  return { own: valueConstraints(rules), item: {} };
}

function valueConstraints({ type, ignore }: FieldRules): Schema {
  if (ignore === Ignore.ALWAYS) return {};
  switch (type.case) {
    case "string":
      return stringConstraints(type.value);
    case "int32":
    case "uint32":
    case "sint32":
    case "int64":
    case "uint64":
    case "sint64":
    case "float":
    case "double":
      // All of these rules have the same members; those of 64 bits are bigints.
      return numberConstraints(type.value as unknown as Int32Rules);
    default:
      return {};
  }
}

const FORMATS: Record<string, string | undefined> = {
  email: "email",
  hostname: "hostname",
  ipv4: "ipv4",
  ipv6: "ipv6",
  uri: "uri",
  uriRef: "uri-reference",
  uuid: "uuid",
};

function stringConstraints(rules: StringRules): Schema {
  const { len, minLen, maxLen, pattern, wellKnown } = rules;
  const schema: Schema = {};
  const has = (name: "len" | "minLen" | "maxLen" | "const" | "pattern") =>
    isFieldSet(rules, StringRulesSchema.field[name]);
  if (has("len")) Object.assign(schema, { minLength: Number(len), maxLength: Number(len) });
  if (has("minLen")) schema.minLength = Number(minLen);
  if (has("maxLen")) schema.maxLength = Number(maxLen);
  if (has("const")) schema.const = rules.const;
  if (has("pattern") && isPortable(pattern)) schema.pattern = pattern;
  if (rules.in.length > 0) schema.enum = rules.in;
  if (rules.example.length > 0) schema.examples = rules.example;
  const format = wellKnown.case && FORMATS[wellKnown.case];
  if (format !== undefined) schema.format = format;
  return schema;
}

/** RE2 has some forms that JSON Schema, which speaks ECMAScript, does not: "(?i)a". */
function isPortable(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

const LIMITS = { lt: "exclusiveMaximum", lte: "maximum", gt: "exclusiveMinimum", gte: "minimum" } as const;

function numberConstraints({ lessThan, greaterThan, in: choices, example }: Int32Rules): Schema {
  const schema: Schema = {};
  for (const limit of [greaterThan, lessThan]) {
    if (limit.case === "lt" || limit.case === "lte" || limit.case === "gt" || limit.case === "gte") {
      schema[LIMITS[limit.case]] = Number(limit.value);
    }
  }
  if (choices.length > 0) schema.enum = choices.map(Number);
  if (example.length > 0) schema.examples = example.map(Number);
  return schema;
}
