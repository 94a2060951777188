import type { DescService } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { compileRoutes } from "./routes.ts";
import { registry, snake, tableIn, thingService } from "./transcode/fixture/things.ts";

const dialects = new Map([[1, snake]]);

function broken(name: string): DescService {
  const service = registry.getService(`fixture.broken.v1.${name}Service`);
  if (service === undefined) throw new Error(`broken.proto has no ${name}Service`);
  return service;
}

describe("a route table", () => {
  const table = tableIn(snake);

  it("has a route for each rule and binding of the public RPCs", () => {
    expect(table.routes.map(({ method, path, rpc }) => `${method} ${path} ${rpc.name}`)).toEqual([
      "GET /v1/things/{thing_id} GetThing",
      "GET /v1/shelves/{shelf.shelf_id}/things/{thing_id} GetThing",
      "GET /v1/things ListThings",
      "POST /v1/things CreateThing",
      "PUT /v1/things/{thing_id} ReplaceThing",
      "DELETE /v1/things/{thing_id} DeleteThing",
      "POST /v1/items RecordItems",
      "GET /v1/measure Measure",
      "GET /v1/things:watch Watch",
    ]);
  });

  it("finds routes, other methods and nothing", () => {
    expect(table.match("GET", "/v1/things/5")).toMatchObject({
      kind: "route",
      params: ["5"],
      route: { label: "fixture.v1.ThingService.GetThing" },
    });
    expect(table.match("POST", "/v1/things/5")).toMatchObject({
      kind: "method",
      allowed: ["DELETE", "GET", "PUT"],
      dialect: snake,
    });
    expect(table.match("GET", "/v2")).toEqual({ kind: "none" });
  });

  it("carries the rules with their defaults", () => {
    const [get] = table.routes;
    expect(get?.rules).toMatchObject({ scopes: ["codes:read"], rateClass: "default", maxBodyBytes: 1 << 20 });
    const record = table.routes.find(({ rpc }) => rpc.name === "RecordItems");
    expect(record?.rules).toMatchObject({ rateClass: "intake", maxBodyBytes: 16 << 20, ndjsonField: "items" });
  });
});

describe("a contract that cannot be served is refused", () => {
  it.each([
    ["NoRule", "NoRuleService.Get is public and needs google.api.http"],
    ["NoScope", "NoScopeService.Get needs scopes, or AUDIENCE_ANYONE"],
    ["InternalRule", "InternalRuleService.Get is internal and must not have google.api.http"],
    ["NoDialect", "NoDialectService.Get has google.api.http, but its service has no dialect"],
    ["UnknownDialect", "UnknownDialectService: dialect 6 is not known"],
    ["Stream", "StreamService.Get streams requests, which REST cannot"],
    ["Template", 'TemplateService.Get: path template "/v1/{id", column 8: expected "}", found the end'],
    ["Variable", '"{words}" is not a single field of message fixture.broken.v1.Request that a text can fill'],
    ["Body", 'body "nothing" is not a field of message fixture.broken.v1.Request'],
    ["ResponseBody", 'response_body "nothing" is not a field of message fixture.broken.v1.Reply'],
    ["Lines", 'ndjson_field "words" is not a repeated message of message fixture.broken.v1.Request'],
    ["Twin", "TwinService.Two and fixture.broken.v1.TwinService.One both take GET /v1/x/*"],
    ["Faults", "faults_field must name an internal repeated ItemFault"],
    ["SameName", 'has the name "name" of another field beside it'],
    ["FlatChoice", "a flat field of a oneof only works in replies"],
    ["Any", "Any has no place in REST"],
  ])("%s: %s", (name, message) => {
    expect(() => compileRoutes([broken(name)], dialects)).toThrow(message);
  });

  it("all at once", () => {
    const services = [thingService, broken("NoRule"), broken("NoScope"), broken("Body")];
    expect(() => compileRoutes(services, dialects)).toThrow(/NoRuleService.*NoScopeService.*BodyService/s);
  });
});
