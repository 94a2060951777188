import type { DescMethodUnary } from "@bufbuild/protobuf";
import { type CallOptions, Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConversionKind } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { QueryInterval } from "#gen/waymark/analytics/v1/query_pb.ts";
import { contract } from "../contract.ts";
import { DAY_MS } from "./rules.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "./test-ground.ts";
import { touchOf } from "./test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
  // As much as a forecast needs.
  const touches = Array.from({ length: 180 }, (_, n) =>
    touchOf({ id: `z${n}`, deviceId: `d${n % 20}`, at: NOW - (n * DAY_MS) / 3 }),
  );
  await ground.append(touches);
  await ground.settle();
});
afterAll(() => ground.close());

/** Every call of this service that takes a time zone; what each needs beside it. */
const METHODS = contract
  .filter(({ typeName }) => typeName.startsWith("waymark.analytics.v1."))
  .flatMap(({ methods }) => methods)
  .filter(({ input }) => input.fields.some(({ name }) => name === "timezone"))
  .map((method) => [`${method.parent.name}.${method.name}`, method as DescMethodUnary] as const);
const NEEDED: Readonly<Record<string, object>> = {
  "AggregateService.ListEventDays": { month: "2026-11" },
  "AggregateService.QueryQuality": { linkId: "link_1" }, // without it the ledger next door is asked as well
  "AttributionService.AnalyzeAttribution": { conversion: { kind: ConversionKind.CONVERSATION } },
  "QueryService.Query": { interval: QueryInterval.DAY },
};

function call([name, { parent, localName }]: (typeof METHODS)[number], timezone: string | undefined) {
  const client = ground.client(parent) as unknown as Record<
    string,
    (request: object, options: CallOptions) => Promise<object>
  >;
  const request = { ...NEEDED[name], ...(timezone === undefined ? {} : { timezone }) };
  return client[localName]?.(request, ground.by()).catch((error: ConnectError) => [error.code, fieldOf(error)]);
}

describe.each(METHODS)("the time zone of %s", (...method) => {
  it("is the workspace's when it is empty, as when it is absent", async () => {
    const absent = await call(method, undefined);
    expect(absent).toHaveProperty("$typeName");
    expect(await call(method, "")).toEqual(absent);
  });

  it.each(["Mars/Base", "+02:00", " ", "x".repeat(65)])("is refused as %j, by its name", async (timezone) => {
    expect(await call(method, timezone)).toEqual([Code.InvalidArgument, "timezone"]);
  });
});

it("is what all that count days, hours or intervals of a calendar take", () => {
  expect(METHODS.map(([name]) => name)).toEqual(
    expect.arrayContaining(["AggregateService.QueryHours", "ForecastService.Forecast", "QueryService.Query"]),
  );
  expect(METHODS.length).toBeGreaterThanOrEqual(19);
});
