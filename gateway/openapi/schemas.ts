import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import { bodyName, enumWords, fieldRules, isFlat, publicFields } from "../transcode/names.ts";
import { commentOf } from "./comments.ts";
import { constraints, isRequired, type Schema } from "./constraints.ts";
import { orNull, plainValue } from "./values.ts";

/** Whether a message is sent to us or by us: what is always there differs. */
export type Direction = "request" | "reply";

/** The schemas of one document. A message has one per dialect and direction, made when it is first asked for. */
export interface Schemas {
  components: Record<string, Schema>;
  /** Makes a name known that no message may have. */
  define: (name: string, schema: Schema) => void;
  in: (dialect: Dialect, direction: Direction) => MessageSchemas;
}

/** The schemas of one dialect in one direction. */
export interface MessageSchemas {
  /** A reference to the schema of a message. */
  reference: (desc: DescMessage) => Schema;
  /** The schema of a message without some of its fields, in place. */
  inline: (desc: DescMessage, without: readonly string[]) => Schema;
  /** The schema of a field, with what the proto says about it. */
  field: (field: DescField) => Schema;
}

/** Begins the schemas of a document. */
export function createSchemas(): Schemas {
  const components: Record<string, Schema> = {};
  const names = new Map<string, string>();
  const faces = new Map<string, MessageSchemas>();
  return {
    components,
    define: (name, schema) => {
      components[name] = schema;
    },
    in: (dialect, direction) => {
      const face = `${dialect.name} ${direction}`;
      const made = faces.get(face) ?? messageSchemas({ dialect, direction, components, names });
      faces.set(face, made);
      return made;
    },
  };
}

interface Making {
  dialect: Dialect;
  direction: Direction;
  components: Record<string, Schema>;
  /** Names of components by dialect, direction and message. */
  names: Map<string, string>;
}

function messageSchemas(making: Making): MessageSchemas {
  const { components, names, dialect, direction } = making;
  const schemas: MessageSchemas = {
    reference: (desc) => {
      const key = `${dialect.name} ${direction} ${desc.typeName}`;
      let name = names.get(key);
      if (name === undefined) {
        name = freeName(desc, making);
        names.set(key, name);
        components[name] = {}; // taken before its fields, which may hold the message itself
        components[name] = schemas.inline(desc, []);
      }
      return { $ref: `#/components/schemas/${name}` };
    },
    inline: (desc, without) => objectSchema(desc, { making, schemas, without }),
    field: (field) => fieldSchema(field, { making, schemas }),
  };
  return schemas;
}

/** "Scan", else "ScansScan", else "ScansScan2". What is sent to us is "RoutingInput", unless it is called a request or an input. */
function freeName(desc: DescMessage, { dialect, direction, components }: Making): string {
  const inner = desc.typeName.slice(desc.file.proto.package.length + 1).replaceAll(".", "");
  const base = direction === "request" && !/(?:Request|Input)$/.test(inner) ? `${inner}Input` : inner;
  const long = capital(dialect.name) + base;
  const taken = (name: string) => Object.hasOwn(components, name);
  if (!taken(base)) return base;
  let name = long;
  for (let number = 2; taken(name); number++) name = `${long}${number}`;
  return name;
}

/** "scans" → "Scans" */
export function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

interface Placing {
  making: Making;
  schemas: MessageSchemas;
}

function objectSchema(desc: DescMessage, placing: Placing & { without: readonly string[] }): Schema {
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  const shapes = new Map<string, Schema[]>();
  collect(
    publicFields(desc).filter(({ name }) => !placing.without.includes(name)),
    { properties, required, shapes, placing },
  );
  const comment = commentOf(desc);
  const own: Schema = { type: "object", properties };
  if (required.length > 0) own.required = required;
  const said = comment === "" ? {} : { description: comment };
  if (shapes.size === 0) return { ...said, ...own };
  const choices = [...shapes.values()].map((anyOf): Schema => ({ anyOf }));
  const [only] = choices;
  if (Object.keys(properties).length === 0 && choices.length === 1) return { ...said, ...only };
  return { ...said, allOf: [own, ...choices] };
}

interface Collecting {
  properties: Record<string, Schema>;
  required: string[];
  /** What stands flat in place of a oneof: one of these. */
  shapes: Map<string, Schema[]>;
  placing: Placing;
}

function collect(fields: readonly DescField[], into: Collecting): void {
  const { making, schemas } = into.placing;
  for (const field of fields) {
    if (isFlat(field) && field.message !== undefined) {
      if (field.oneof === undefined) {
        collect(publicFields(field.message), { ...into, required: [] });
        continue;
      }
      const shapes = into.shapes.get(field.oneof.name) ?? [];
      into.shapes.set(field.oneof.name, [...shapes, schemas.reference(field.message)]);
      continue;
    }
    const name = bodyName(field, making.dialect);
    const [schema, namesake] = [schemas.field(field), into.properties[name]];
    // Members of a oneof that have one name: one of them is there.
    into.properties[name] = namesake === undefined ? schema : { anyOf: [...choicesOf(namesake), schema] };
    if (making.direction === "request" ? isRequired(field) : isAlwaysWritten(field, making.dialect))
      into.required.push(name);
  }
}

function choicesOf(schema: Schema): Schema[] {
  return (schema.anyOf as Schema[] | undefined) ?? [schema];
}

/** As gateway/transcode/writer.ts does it. */
function isAlwaysWritten(field: DescField, dialect: Dialect): boolean {
  const { nullable, omitEmpty } = fieldRules(field);
  if (nullable) return true;
  if (field.fieldKind === "list" || field.fieldKind === "map") return !omitEmpty;
  if (field.oneof !== undefined) return false;
  if (field.fieldKind === "message") return field.message.typeName === "google.protobuf.Struct";
  if (field.proto.proto3Optional) return false;
  return field.fieldKind !== "enum" || enumWords(field.enum, dialect).write.has(0);
}

function fieldSchema(field: DescField, { making, schemas }: Placing): Schema {
  const { own, item } = constraints(field);
  const value = plainValue(field, making.dialect) ?? schemas.reference(field.message as DescMessage);
  const { description: words, ...bare } = value;
  const schema = { ...shapeOf(field, { ...bare, ...item }), ...fitting(own, value) };
  const whole = fieldRules(field).nullable ? orNull(schema) : schema;
  const description = [commentOf(field), words].filter((part) => part !== "" && part !== undefined).join("\n");
  return description === "" ? whole : { ...whole, description };
}

function shapeOf(field: DescField, value: Schema): Schema {
  if (field.fieldKind === "list") return { type: "array", items: value };
  if (field.fieldKind === "map") return { type: "object", additionalProperties: value };
  return value;
}

/** JSON Schema has no limits for a number that is written as a string. */
function fitting(own: Schema, { type }: Schema): Schema {
  const limits = Object.entries(own).filter(([key]) => type !== "string" || !/imum$/i.test(key));
  return Object.fromEntries(limits);
}
