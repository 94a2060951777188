import { describe, expect, it } from "vitest";
import { openLogger } from "./logger.ts";

/** A logger whose lines are kept. */
function keep(level = "info") {
  const lines: string[] = [];
  const log = openLogger(level, { write: (line) => void lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1) as string) };
}

it("a record is one line of JSON with time and severity in words", () => {
  const { log, lines, last } = keep();
  log.info({ rpc: "x", seconds: 0.5 }, "rpc\nwith a break");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\{[^\n]+\}\n$/);
  expect(last()).toEqual({
    level: "info",
    time: expect.stringMatching(/^\d{4}-.+Z$/),
    rpc: "x",
    seconds: 0.5,
    msg: "rpc\nwith a break",
  });
});

it.each([
  ["debug", ["debug", "info", "warn", "error"]],
  ["warn", ["warn", "error"]],
  ["silent", []],
])("at level %s these are written: %j", (level, expected) => {
  const { log, lines } = keep(level);
  for (const severity of ["debug", "info", "warn", "error"] as const) log[severity]({}, "x");
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(expected);
});

describe("what must not be written is not, wherever it stands", () => {
  const names = [
    "ip",
    "token",
    "key",
    "secret",
    "authorization",
    "message_text",
    "messageText",
    "user_agent",
    "userAgent",
  ];
  names.push("User-Agent", "email", "phone", "IP", "ip_address", "X-API-Key", "cookie", "password");

  it.each(names)("%s", (name) => {
    const { log, lines, last } = keep();
    log.info({ [name]: "hunter2", kept: 1, in: { [name]: "hunter2", list: [{ deep: { [name]: ["hunter2"] } }] } }, "x");
    expect(lines[0]).not.toContain("hunter2");
    expect(last()).toMatchObject({ kept: 1, in: { list: [{ deep: {} }] } });
  });

  it("below the depth that is looked at", () => {
    const { log, lines } = keep();
    log.info({ a: { b: { c: { d: { e: { f: { g: { ip: "hunter2", h: "hunter2" } } } } } } } }, "x");
    expect(lines[0]).not.toContain("hunter2");
  });

  it("on an error or its cause", () => {
    const { log, lines, last } = keep();
    const cause = Object.assign(new RangeError("inner"), { token: "hunter2", config: { authorization: "hunter2" } });
    log.error({ err: Object.assign(new TypeError("outer", { cause }), { request: { ip: "hunter2" } }) }, "failed");
    expect(lines[0]).not.toContain("hunter2");
    expect(last().err).toMatchObject({
      type: "TypeError",
      message: "outer",
      cause: { type: "RangeError", message: "inner" },
    });
    expect(last().err.stack).toMatch(/TypeError: outer\n\s+at /);
  });

  it("when an error is the record", () => {
    const { log, last } = keep();
    log.error(new Error("boom"));
    expect(last().err).toMatchObject({ type: "Error", message: "boom" });
  });
});

it("takes what JSON does not: bigints, cycles, absent values, dates", () => {
  const { log, last } = keep();
  const cycle: Record<string, unknown> = { position: 12n, none: undefined, nothing: null, at: new Date(0) };
  cycle.self = cycle;
  log.info(cycle, "x");
  expect(last()).toMatchObject({ position: "12", nothing: null, at: "1970-01-01T00:00:00.000Z" });
});
