import { defineConfig } from "vitest/config";
import { mongodbMissing } from "./test/support/mongodb-server.ts";
import { anyNatsMissing, natsMissing } from "./test/support/nats-server.ts";
import { Tally } from "./test/support/tally.ts";

/** Stories of what only the all-in-one has: its demo, its folder, its start after a kill. test/fault has them for many processes. */
const ALL_IN_ONE = ["test/e2e/demo.test.ts", "test/e2e/restart.test.ts", "test/e2e/restore.test.ts"];

const onePart = {
  extends: true as const,
  test: {
    name: "one process",
    include: ["services/**/*.test.ts", "gateway/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["test/fault/**", "test/chart/cluster.test.ts"],
    sequence: { groupOrder: 0 },
  },
};

const manyPart = {
  extends: true as const,
  test: {
    name: "many processes",
    include: ["test/e2e/*.test.ts"],
    exclude: ALL_IN_ONE,
    env: { WAYMARK_TEST_WAY: "processes" },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    sequence: { groupOrder: 1 },
  },
};

const faultPart = {
  extends: true as const,
  test: {
    name: "faults",
    include: ["test/fault/*.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
    sequence: { groupOrder: 2 },
  },
};

const clusterPart = {
  extends: true as const,
  test: {
    name: "cluster",
    include: ["test/chart/cluster.test.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 1,
    sequence: { groupOrder: 3 },
  },
};

/** Tests of many processes run where their servers are; where they are not, that is said once, with what is missing. */
export default defineConfig(async () => {
  const isWithoutStore = await mongodbMissing();
  const projects = [
    onePart,
    ...(isWithoutStore || anyNatsMissing() ? [] : [manyPart]),
    ...(isWithoutStore || natsMissing() ? [] : [faultPart]),
    clusterPart,
  ];
  return {
    test: {
      pool: "forks",
      maxWorkers: 2,
      testTimeout: 30_000,
      hookTimeout: 60_000,
      reporters: ["default", new Tally()],
      projects,
    },
  };
});
