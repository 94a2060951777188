import { getOption } from "@bufbuild/protobuf";
import { service as serviceOption } from "#gen/waymark/options/v1/options_pb.ts";
import type { Dialect } from "./dialects/dialect.ts";
import { commentOf } from "./openapi/comments.ts";
import type { Schema } from "./openapi/constraints.ts";
import { REFUSALS, refusalExample, refusalSchema } from "./openapi/envelope.ts";
import { operation } from "./openapi/operation.ts";
import { documentPath } from "./openapi/paths.ts";
import { printedPaths } from "./openapi/printed.ts";
import { capital, createSchemas, type Schemas } from "./openapi/schemas.ts";
import type { Route, RouteTable } from "./routes.ts";

/** Methods that OpenAPI has a place for. */
const METHODS = new Set(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]);

const INTRODUCTION = `Five APIs are five views of one thing: a touch, one scan of one code by one device, for one purpose. Each speaks its own dialect of JSON.

A key goes into \`Authorization: Bearer\`, \`X-API-Key\` or \`x-distinct-api-key\`, whichever is at hand; its scopes decide what it may do. Times are ISO 8601 with zone, or a bare date, which is its midnight in UTC. Every reply has \`X-Request-Id\`.`;

/** Makes the OpenAPI 3.1 document of all routes. It says what the descriptors, the dialects and the comments of the protos say. */
export function openApi(
  table: RouteTable,
  { publicUrl, version }: { publicUrl: string; version: string },
): Record<string, unknown> {
  const schemas = createSchemas();
  const byNumber = table.routes.map(({ service, dialect }) => ({
    dialect,
    number: getOption(service, serviceOption).dialect,
  }));
  const dialects = [...new Set(byNumber.sort((a, b) => a.number - b.number).map(({ dialect }) => dialect))];
  const responses: Record<string, Schema> = {};
  for (const dialect of dialects) Object.assign(responses, refusals(dialect, schemas));
  const paths = pathsOf(table.routes, schemas);
  return {
    openapi: "3.1.0",
    info: {
      title: "Waymark",
      version,
      description: INTRODUCTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: publicUrl }],
    tags: dialects.map((dialect) => tagOf(dialect, table.routes)),
    paths: { ...paths, ...printedPaths(dialects) },
    components: { schemas: schemas.components, responses, securitySchemes: SECURITY },
  };
}

const SECURITY = {
  bearer: { type: "http", scheme: "bearer", description: "`Authorization: Bearer K`" },
  apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
  distinctKey: { type: "apiKey", in: "header", name: "x-distinct-api-key" },
};

function pathsOf(routes: readonly Route[], schemas: Schemas): Record<string, Record<string, Schema>> {
  const paths: Record<string, Record<string, Schema>> = {};
  const known = new Map<string, readonly string[]>();
  const ids = new Set<string>();
  for (const route of routes) {
    if (!METHODS.has(route.method)) continue;
    const { path, parameters } = documentPath(route, schemas.in(route.dialect, "request"), known);
    const item = paths[path] ?? {};
    paths[path] = item;
    const operationId = freeId(route, ids);
    item[route.method.toLowerCase()] = operation(route, { schemas, operationId, pathParameters: parameters });
  }
  return paths;
}

/** "listScans", else "scansListScans", else "scansListScans2". */
function freeId({ rpc, dialect }: Route, taken: Set<string>): string {
  const long = dialect.name + capital(rpc.localName);
  let id = taken.has(rpc.localName) ? long : rpc.localName;
  for (let number = 2; taken.has(id); number++) id = `${long}${number}`;
  taken.add(id);
  return id;
}

function tagOf(dialect: Dialect, routes: readonly Route[]): Schema {
  const services = new Set(routes.filter((route) => route.dialect === dialect).map(({ service }) => service));
  const description = [...services]
    .map(commentOf)
    .filter((comment) => comment !== "")
    .join("\n\n");
  return { name: dialect.name, ...(description !== "" && { description }) };
}

function refusals(dialect: Dialect, schemas: Schemas): Record<string, Schema> {
  const name = `${capital(dialect.name)}Refusal`;
  schemas.define(name, refusalSchema(dialect));
  const schema = { $ref: `#/components/schemas/${name}` };
  return Object.fromEntries(
    REFUSALS.map((refusal) => {
      const { contentType, body } = refusalExample(dialect, refusal);
      const retry = { description: "Seconds to wait.", schema: { type: "integer" } };
      const headers = refusal.status === 429 || refusal.status === 503 ? { headers: { "Retry-After": retry } } : {};
      return [
        `${dialect.name}${refusal.status}`,
        { description: refusal.says, ...headers, content: { [contentType]: { schema, example: body } } },
      ];
    }),
  );
}
