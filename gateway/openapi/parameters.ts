import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { Route } from "../routes.ts";
import { isFlat, publicFields, queryName } from "../transcode/names.ts";
import { wrappedField } from "../transcode/well-known.ts";
import { isRequired, type Schema } from "./constraints.ts";
import type { MessageSchemas } from "./schemas.ts";

/** How deep messages are followed into the parameters of a query: "filter.inner.since". */
const MOST_STEPS = 3;

/** The parameters of a route's query. */
export function queryParameters(route: Route, schemas: MessageSchemas): Schema[] {
  if (route.body === "*") return [];
  const taken = new Set(route.template.variables.map(({ fieldPath }) => fieldPath.join(".")));
  if (route.body !== "") taken.add(route.body);
  return walk(route.rpc.input, { route, schemas, taken, path: [], names: [], above: [] });
}

interface Walk {
  route: Route;
  schemas: MessageSchemas;
  /** Fields that the path or the body holds. */
  taken: ReadonlySet<string>;
  path: readonly string[];
  names: readonly string[];
  above: readonly DescMessage[];
}

function walk(message: DescMessage, at: Walk): Schema[] {
  return publicFields(message).flatMap((field) => {
    const path = [...at.path, field.name];
    if (at.taken.has(path.join("."))) return [];
    const names = isFlat(field) ? at.names : [...at.names, queryName(field, at.route.dialect)];
    if (isText(field)) return [parameter(field, { name: names.join("."), place: "query", schemas: at.schemas })];
    if (field.fieldKind !== "message" || field.message.typeName.startsWith("google.")) return [];
    if (at.above.includes(field.message) || names.length > MOST_STEPS) return [];
    return walk(field.message, { ...at, path, names, above: [...at.above, message, field.message] });
  });
}

const TEXTS = ["google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"];

/** Whether a text can fill a field, as gateway/transcode/parameters.ts does it. */
function isText(field: DescField): boolean {
  if (field.fieldKind === "map") return false;
  if (field.message === undefined) return true;
  return TEXTS.includes(field.message.typeName) || wrappedField(field.message) !== undefined;
}

/** One parameter of a path or a query. */
export function parameter(
  field: DescField,
  to: { name: string; place: "path" | "query"; schemas: MessageSchemas },
): Schema {
  const { description, ...schema } = to.schemas.field(field);
  const required = to.place === "path" || isRequired(field);
  return {
    name: to.name,
    in: to.place,
    ...(description !== undefined && { description }),
    ...(required && { required }),
    schema,
  };
}
