import { Audience } from "#gen/waymark/options/v1/options_pb.ts";
import type { Route } from "../routes.ts";
import { isRaw, metaField, statusOf } from "../transcode/reply.ts";
import { commentOf, firstSentence } from "./comments.ts";
import { isRequired, type Schema } from "./constraints.ts";
import { envelopeSchema, REFUSALS } from "./envelope.ts";
import { queryParameters } from "./parameters.ts";
import { RANGE_PARAMETERS, RANGE_RESPONSES } from "./ranged.ts";
import type { Schemas } from "./schemas.ts";

/** Names of the security schemes; each is enough. */
const SCHEMES = ["bearer", "apiKey", "distinctKey"] as const;

/** Comments of the contract say the scope at their end for those who read the proto; here it is said from the option. */
const SAID = / ?Scopes?: [^.]*\.\s*$/;

/** The operation of a route. */
export function operation(
  route: Route,
  {
    schemas,
    operationId,
    pathParameters,
  }: { schemas: Schemas; operationId: string; pathParameters: readonly Schema[] },
): Schema {
  const { rpc, rules, dialect } = route;
  const comment = commentOf(rpc);
  const asked = queryParameters(route, schemas.in(dialect, "request"));
  const parameters = [...pathParameters, ...asked, ...(rules.ranged ? RANGE_PARAMETERS : [])];
  const body = requestBody(route, schemas);
  return {
    operationId,
    tags: [dialect.name],
    summary: firstSentence(comment) || spaced(rpc.name),
    description: [comment.replace(SAID, ""), access(route)].filter((part) => part !== "").join("\n\n"),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && { requestBody: body }),
    responses: responses(route, schemas),
    security: rules.audience === Audience.ANYONE ? [] : SCHEMES.map((name) => ({ [name]: [] })),
    ...(rpc.deprecated && { deprecated: true }),
  };
}

/** "ListScans" → "List scans" */
function spaced(name: string): string {
  const [first = "", ...rest] = name.split(/(?=[A-Z])/);
  return [first, ...rest.map((word) => word.toLowerCase())].join(" ");
}

function access({ rules }: Route): string {
  if (rules.audience === Audience.ANYONE) return "No key is needed; calls are limited by address.";
  return `Scope: ${rules.scopes.map((scope) => `\`${scope}\``).join(" or ")}.`;
}

function requestBody({ rpc, body, template, dialect, rules }: Route, schemas: Schemas): Schema | undefined {
  if (body === "") return undefined;
  const { reference, inline, field: fieldSchema } = schemas.in(dialect, "request");
  const field = rpc.input.fields.find(({ name }) => name === body);
  const inPath = template.variables.map(({ fieldPath }) => fieldPath.join("."));
  const whole = inPath.length === 0 ? reference(rpc.input) : inline(rpc.input, inPath);
  const schema = field === undefined ? whole : fieldSchema(field);
  const required = (field === undefined ? rpc.input.fields : [field]).some(
    (one) => isRequired(one) && !inPath.includes(one.name),
  );
  const content: Schema = { "application/json": { schema } };
  const lines = rpc.input.fields.find(({ name }) => name === rules.ndjsonField);
  if (lines?.message !== undefined) {
    const item = reference(lines.message);
    content["application/x-ndjson"] = { schema: { ...item, description: "One of these on each line." } };
  }
  return { required, content };
}

function responses(route: Route, schemas: Schemas): Schema {
  const { rpc, dialect } = route;
  const status = statusOf({ desc: rpc.output, dialect, status: route.rules.status });
  const success: Schema = { description: successText(route, status) };
  const content = replyContent(route, { schemas, status });
  if (content !== undefined) success.content = content;
  const refusals = REFUSALS.filter((refusal) => mayRefuse(route, refusal.status));
  const refused = refusals.map((refusal) => [
    refusal.status,
    { $ref: `#/components/responses/${dialect.name}${refusal.status}` },
  ]);
  return { [status]: success, ...(route.rules.ranged ? RANGE_RESPONSES : {}), ...Object.fromEntries(refused) };
}

function successText({ rpc, rules }: Route, status: number): string {
  const comment = commentOf(rpc.output);
  if (rules.message !== "") return rules.message;
  if (comment !== "" && !/^Reply of/.test(comment)) return firstSentence(comment);
  return status === 204 ? "Done." : "Success.";
}

function replyContent(route: Route, { schemas, status }: { schemas: Schemas; status: number }): Schema | undefined {
  if (status === 204) return undefined;
  const { rpc, dialect, responseBody, rules } = route;
  if (isRaw({ desc: rpc.output, responseBody })) return { "*/*": { schema: { type: "string", format: "binary" } } };
  const { reference, inline, field: fieldSchema } = schemas.in(dialect, "reply");
  const meta = metaField({ desc: rpc.output, dialect });
  const field = rpc.output.fields.find(({ name }) => name === responseBody);
  const whole = meta === undefined ? reference(rpc.output) : inline(rpc.output, [meta.name]);
  const body = field === undefined ? whole : fieldSchema(field);
  const schema = envelopeSchema(dialect, { status, message: rules.message, body, meta: meta && fieldSchema(meta) });
  return { [rpc.methodKind === "unary" ? "application/json" : "text/event-stream"]: { schema } };
}

function mayRefuse({ rules, template, body, method }: Route, status: number): boolean {
  if (status === 401 || status === 403) return rules.audience !== Audience.ANYONE;
  if (status === 404) return template.variables.length > 0;
  if (status === 409) return method !== "GET" && method !== "DELETE";
  if (status === 413 || status === 415) return body !== "";
  return true;
}
