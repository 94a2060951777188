import { globSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { Validator } from "@seriousme/openapi-schema-validator";
import { beforeAll, describe, expect, it } from "vitest";
import { dialects } from "./dialects/table.ts";
import { commentOf } from "./openapi/comments.ts";
import { openApi } from "./openapi.ts";
import { compileRoutes, type RouteTable } from "./routes.ts";
import { boxed, camel, snake, tableIn } from "./transcode/fixture/things.ts";

// biome-ignore lint/suspicious/noExplicitAny: a document is asked for what it should have
type Any = any;

const about = { publicUrl: "https://qr.example.com", version: "1.2.3" };

async function faultsOf(document: Record<string, unknown>): Promise<unknown> {
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  return valid ? undefined : errors;
}

/** All services that the protos generate. */
async function contract(): Promise<DescService[]> {
  const root = new URL("../", import.meta.url);
  const files = globSync("proto/gen/waymark/**/*_pb.ts", { cwd: root }).sort();
  const modules = await Promise.all(files.map((file) => import(new URL(file, root).href) as Promise<object>));
  return modules.flatMap((module) => Object.values(module)).filter((one) => one?.kind === "service");
}

describe("the document of the fixture", () => {
  const doc: Any = openApi(tableIn(snake), about);
  const schemas = doc.components.schemas;
  const operations = doc.paths;

  it.each([snake, camel, boxed])("is valid OpenAPI 3.1 ($name)", async (dialect) => {
    expect(await faultsOf(openApi(tableIn(dialect), about))).toBeUndefined();
  });

  it("says where it is and which version", () => {
    expect(doc).toMatchObject({
      openapi: "3.1.0",
      info: { title: "Waymark", version: "1.2.3" },
      servers: [{ url: "https://qr.example.com" }],
      tags: [{ name: "snake" }],
    });
  });

  it("has every route once, with an id of its own", () => {
    expect(Object.keys(operations)).toEqual([
      "/v1/things/{thing_id}",
      "/v1/shelves/{shelf.shelf_id}/things/{thing_id}",
      "/v1/things",
      "/v1/items",
      "/v1/measure",
      "/v1/things:watch",
    ]);
    expect(operations["/v1/things/{thing_id}"].get.operationId).toBe("getThing");
    expect(operations["/v1/shelves/{shelf.shelf_id}/things/{thing_id}"].get.operationId).toBe("snakeGetThing");
  });

  it("describes parameters with what buf.validate says", () => {
    const { parameters } = operations["/v1/things"].get;
    const byName = Object.fromEntries(parameters.map((one: Any) => [one.name, one]));
    expect(Object.keys(byName)).toEqual([
      "limit",
      "main_color",
      "name_words",
      "filter.since_time",
      "filter.only_colors",
      "filter.with_parts",
      "max_age",
      "ratio",
      "after_id",
      "country",
      "home_city",
      "include_bots",
      "by_name",
      "by_shelf.shelf_id",
    ]);
    expect(byName.limit).toMatchObject({ in: "query", schema: { type: "integer", minimum: 1, maximum: 200 } });
    expect(byName.main_color.schema).toMatchObject({ enum: ["red", "dark_blue"] });
    expect(byName.name_words.schema).toEqual({ type: "array", items: { type: "string" } });
    expect(operations["/v1/things/{thing_id}"].put.parameters).toMatchObject([
      { name: "thing_id", in: "path", required: true },
      { name: "dry_run", in: "query" },
    ]);
  });

  it("describes bodies, NDJSON too", () => {
    const { content } = operations["/v1/items"].post.requestBody;
    expect(content["application/json"].schema).toEqual({ $ref: "#/components/schemas/RecordItemsRequest" });
    expect(content["application/x-ndjson"].schema).toMatchObject({ $ref: "#/components/schemas/ItemInput" });
    expect(schemas.RecordItemsRequest.properties).toEqual({
      items: { type: "array", items: { $ref: "#/components/schemas/ItemInput" }, maxItems: 1000 },
    });
    expect(operations["/v1/things"].post.requestBody.required).toBe(true);
    expect(schemas.CreateThingRequest.required).toEqual(["thing"]);
  });

  it("describes fields as they are written", () => {
    const { properties, required } = schemas.Thing;
    expect(properties).not.toHaveProperty("hidden");
    expect(properties).not.toHaveProperty("place");
    expect(properties.country).toEqual({ type: "string" });
    expect(properties.rank).toEqual({ type: ["integer", "null"], format: "int32" });
    expect(properties.empty_color).toEqual({ type: ["string", "null"], enum: ["red", "dark_blue", null] });
    expect(properties.null_part).toEqual({ anyOf: [{ $ref: "#/components/schemas/Part" }, { type: "null" }] });
    expect(properties.made_at).toEqual({ type: "string", format: "date-time" });
    expect(properties.flipped).toMatchObject({ type: "string", format: "int64" });
    expect(properties.big).toEqual({ type: "integer", format: "int64" });
    expect(properties.inner).toEqual({ $ref: "#/components/schemas/Thing" });
    expect(properties.labels).toEqual({ type: "object", additionalProperties: { type: "string" } });
    expect(required).toEqual(expect.arrayContaining(["thing_id", "rank", "words", "labels", "metadata", "null_part"]));
    for (const name of ["nickname", "part", "parts", "color", "country", "choice_text"])
      expect(required).not.toContain(name);
  });

  it("describes shapes that depend on the request as alternatives", () => {
    expect(schemas.MeasureResponse.anyOf).toEqual([
      { $ref: "#/components/schemas/ByShelf" },
      { $ref: "#/components/schemas/ByColor" },
    ]);
  });

  it("describes members of a oneof under one name as alternatives", () => {
    expect(schemas.WatchResponse.properties.data).toEqual({
      anyOf: [{ $ref: "#/components/schemas/Part" }, { $ref: "#/components/schemas/Place" }],
    });
  });

  it("has the replies with their status and content type", () => {
    expect(Object.keys(operations["/v1/things"].post.responses)).toEqual([
      "201",
      "400",
      "401",
      "403",
      "409",
      "413",
      "415",
      "429",
      "500",
      "503",
    ]);
    expect(operations["/v1/things/{thing_id}"].delete.responses["204"]).not.toHaveProperty("content");
    expect(operations["/v1/things:watch"].get.responses["200"].content).toHaveProperty(["text/event-stream"]);
  });

  it("asks for a key where the proto does", () => {
    expect(operations["/v1/things"].get.security).toEqual([{ bearer: [] }, { apiKey: [] }, { distinctKey: [] }]);
    expect(operations["/v1/things"].get.description).toBe("Scope: `codes:read`.");
    expect(operations["/v1/measure"].get.security).toEqual([]);
    expect(operations["/v1/measure"].get.responses).not.toHaveProperty("401");
  });

  it("shows the envelope with the body in its place", () => {
    const enveloped: Any = openApi(tableIn(boxed), about);
    const { schema } = enveloped.paths["/v1/things"].get.responses["200"].content["application/json"];
    expect(schema).toEqual({
      type: "object",
      properties: {
        status: { type: "integer", const: 200 },
        message: { type: "string", const: "" },
        data: expect.objectContaining({ properties: { things: expect.anything() } }),
        meta: { $ref: "#/components/schemas/Meta" },
      },
      required: ["status", "message", "data", "meta"],
    });
  });
});

describe("the document of the whole contract", () => {
  let table: RouteTable;
  let doc: Any;
  beforeAll(async () => {
    table = compileRoutes(await contract(), dialects);
    doc = openApi(table, about);
  });

  it("is valid OpenAPI 3.1", async () => {
    expect(await faultsOf(doc)).toBeUndefined();
  });

  it("has every route, and an id for each", () => {
    const operations = Object.values<Any>(doc.paths).flatMap((item) => Object.values<Any>(item));
    const ids = new Set(operations.map(({ operationId }) => operationId));
    expect(ids.size).toBe(operations.length);
    expect(operations.length).toBeGreaterThanOrEqual(table.routes.length);
  });

  it("says in words what each operation does: otherwise `npm run generate` was forgotten", () => {
    const silent = table.routes.filter(({ rpc }) => commentOf(rpc) === "");
    expect(silent.map(({ label }) => label)).toEqual([]);
  });

  it("lists the APIs in the order of the proto", () => {
    const names = doc.tags.map(({ name }: Any) => name);
    expect(names).toEqual([...dialects.values()].map(({ name }) => name).filter((name) => names.includes(name)));
  });

  it("refuses in the shape of each dialect", () => {
    const { responses, schemas } = doc.components;
    expect(responses.scans404.content).toHaveProperty(["application/problem+json"]);
    expect(schemas.TagsRefusal.properties.error.properties.details).toMatchObject({
      additionalProperties: { type: "array" },
    });
    expect(schemas.TagsRefusal.properties.error.required).toEqual(["code", "message"]);
    expect(schemas.ImpressionsRefusal.required).toEqual(["error", "message"]);
  });

  it("has the addresses that are printed", () => {
    expect(doc.paths["/s/{short_id}"].get.responses).toHaveProperty("302");
    expect(doc.paths).toHaveProperty(["/qr/{short_id}.svg"]);
  });
});
