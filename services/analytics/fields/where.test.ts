import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type Condition, ConditionSchema, Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { NOW } from "../test-ground.ts";
import { fieldsOf } from "./fields.ts";
import { SCOPE } from "./test-people.ts";
import { compileWhere } from "./where.ts";

describe("the statement", () => {
  const mark = "zQ7'\"--$w0)";
  const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });

  it("holds no text of the caller: each is a value of a parameter", () => {
    const texts = fieldsOf("events").filter(({ kind }) => kind === "string" || kind === "strings");
    const conditions = [...texts.map(({ name }) => name), `attributes.${mark}`].flatMap((field) => [
      create(ConditionSchema, { field, value: text(mark) }),
      create(ConditionSchema, { field, op: Operator.NOT_IN, values: [text(mark), text(`${mark}2`)] }),
    ]);
    const { sql, params } = compileWhere(conditions, "events", "w", { scope: SCOPE, now: NOW });
    expect(sql).not.toContain("zQ7");
    expect(JSON.stringify(Object.values(params).map(String))).toContain("zQ7");
    expect(Object.keys(params).every((name) => /^(w\w+|workspace|test)$/.test(name))).toBe(true);
  });

  it.each([
    ["an unknown field", { field: "workspace" }, "where[0].field"],
    ["no field", {}, "where[0].field"],
    ["an operator of another kind", { field: "country", op: Operator.LESS, value: text("a") }, "where[0].op"],
    ["a text for a number", { field: "asn", value: text("42") }, "where[0].value"],
    ["a word that is not one of an enum's", { field: "deviceType", value: text("FRIDGE") }, "where[0].value"],
    ["a time without a zone", { field: "scannedAt", value: text("yesterday") }, "where[0].value"],
    ["no value", { field: "country" }, "where[0].value"],
    ["no values", { field: "country", op: Operator.IN }, "where[0].values"],
    [
      "values of two kinds",
      {
        field: "attributes.a",
        op: Operator.IN,
        values: [text("a"), { kind: { case: "boolValue" as const, value: true } }],
      },
      "where[0].values[1]",
    ],
    ["a field beside anyOf", { field: "country", anyOf: [{ field: "city" }] }, "where[0].field"],
    [
      "a fault within anyOf",
      { anyOf: [{ field: "city", value: text("x") }, { field: "hair" }] },
      "where[0].any_of[1].field",
    ],
    ["the score where no weights are", { field: "score" }, "where[0].field"],
  ])("refuses %s, and names it", (_case, condition, field) => {
    const compile = () => compileWhere([create(ConditionSchema, condition)], "events", "w", { scope: SCOPE, now: NOW });
    expect(compile).toThrow(field);
  });

  it("refuses conditions that nest too deep, and too many of them", () => {
    const nest = (depth: number): Condition =>
      create(ConditionSchema, depth === 0 ? { field: "city", value: text("x") } : { anyOf: [nest(depth - 1)] });
    expect(() => compileWhere([nest(3)], "events")).not.toThrow();
    expect(() => compileWhere([nest(4)], "events")).toThrow("nests deeper");
    const many = Array.from({ length: 101 }, () => create(ConditionSchema, { field: "city", value: text("x") }));
    expect(() => compileWhere(many, "events")).toThrow("at most 100");
  });

  it("without a past refuses what looks at it", () => {
    const past = create(ConditionSchema, { field: "visitCount", op: Operator.IS_KNOWN });
    expect(() => compileWhere([past], "events")).toThrow("cannot be asked here");
  });
});
