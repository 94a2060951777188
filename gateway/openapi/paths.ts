import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { Route } from "../routes.ts";
import { queryName } from "../transcode/names.ts";
import type { Schema } from "./constraints.ts";
import { parameter } from "./parameters.ts";
import type { MessageSchemas } from "./schemas.ts";

/** A path as OpenAPI writes it, with its parameters. */
export interface DocumentPath {
  path: string;
  parameters: Schema[];
}

/** One segment that a variable covers. */
interface Blank {
  name: string;
  field: DescField;
}

/**
 * Writes the path of a route for OpenAPI. Paths that differ by the names of their parameters only are one path there, so
 * `known` keeps the names that came first.
 */
export function documentPath(
  route: Route,
  schemas: MessageSchemas,
  known: Map<string, readonly string[]>,
): DocumentPath {
  const blanks = blanksOf(route);
  const { segments, verb } = route.template;
  const tail = verb === "" ? "" : `:${verb}`;
  const write = (names: readonly string[]) => {
    const left = [...names];
    const words = segments.map((segment) => (segment.kind === "literal" ? segment.text : `{${left.shift()}}`));
    return `/${words.join("/")}${tail}`;
  };
  const shape = write(blanks.map(() => ""));
  const names = known.get(shape) ?? blanks.map(({ name }) => name);
  known.set(shape, names);
  const parameters = blanks.map(({ field }, index) =>
    parameter(field, { name: names[index] as string, place: "path", schemas }),
  );
  return { path: write(names), parameters };
}

/** What stands in the segments that are not literal, in their order. */
function blanksOf({ template, rpc, dialect }: Route): Blank[] {
  return template.segments.flatMap((segment, index): Blank[] => {
    if (segment.kind === "literal") return [];
    const variable = template.variables.find(({ start, end }) => index >= start && (end === -1 || index < end));
    const fields = fieldsOf(rpc.input, variable?.fieldPath ?? []);
    const last = fields.at(-1);
    if (variable === undefined || last === undefined)
      throw new Error(`${rpc}: a wildcard outside of a variable has no name`);
    const name = fields.map((field) => queryName(field, dialect)).join(".");
    const before = template.segments.slice(variable.start, index).filter(({ kind }) => kind !== "literal").length;
    return [{ name: before === 0 ? name : `${name}${before + 1}`, field: last }];
  });
}

function fieldsOf(message: DescMessage, path: readonly string[]): DescField[] {
  const [first, ...rest] = path;
  const field = message.fields.find(({ name }) => name === first);
  if (field === undefined) return [];
  return [field, ...(field.message === undefined ? [] : fieldsOf(field.message, rest))];
}
