import { expect, it } from "vitest";
import { openBacklog } from "./backlog.ts";

const config = { mongodbUrl: undefined };

it("lets touches in at once while counting is near", () => {
  const backlog = openBacklog({ store: { watermark: async () => 0 }, config });
  backlog.note(10_000, 1);
  expect(backlog.room()).toBeUndefined();
});

it("makes them wait until enough is counted, and no longer", async () => {
  let counted = 0;
  const backlog = openBacklog({ store: { watermark: async () => counted }, config });
  for (const position of [1, 2, 3]) backlog.note(5_000, position);
  let isIn = false;
  const waiting = backlog.room()?.then(() => {
    isIn = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(isIn).toBe(false);
  counted = 1;
  await waiting;
  expect(backlog.depth()).toBe(10_000);
});

it("takes them all the same when counting stands still, after a second", async () => {
  const backlog = openBacklog({ store: { watermark: async () => 0 }, config });
  backlog.note(10_001, 1);
  await backlog.room();
  expect(backlog.depth()).toBe(10_001);
});

it("has no brake over servers, where the log keeps what is not counted yet", () => {
  const mongodbUrl = "mongodb://localhost/waymark";
  const backlog = openBacklog({ store: { watermark: async () => 0 }, config: { mongodbUrl } });
  backlog.note(1_000_000, 1);
  expect([backlog.room(), backlog.depth()]).toEqual([undefined, 0]);
});
