import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Alarm } from "./fault.ts";
import { openWaiting, type Waiting } from "./waiting.ts";

let alarms: Alarm[];
let waiting: Waiting;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  alarms = [];
  waiting = openWaiting("tally", (alarm) => alarms.push(alarm));
});
afterEach(() => {
  vi.useRealTimers();
});

it("tells once what is met again and again", () => {
  for (let turn = 0; turn < 20; turn += 1) {
    waiting.for(new RangeError("not yet"));
    vi.advanceTimersByTime(5_000);
  }
  expect(alarms).toMatchObject([{ kind: "waiting", projection: "tally", error: "RangeError" }]);
});

it.each([
  ["another is met", () => waiting.for(new TypeError("no"))],
  ["it was over", () => waiting.over()],
  ["it was not met for long", () => void vi.advanceTimersByTime(60_000)],
])("tells it again when %s", (_case, between) => {
  waiting.for(new RangeError("not yet"));
  between();
  waiting.for(new RangeError("not yet"));
  expect(alarms.filter((alarm) => alarm.error === "RangeError")).toHaveLength(2);
});
