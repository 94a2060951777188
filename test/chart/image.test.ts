import { describe, expect, it } from "vitest";
import { settings } from "#runtime/config.ts";
import { read } from "./chart.ts";

const lines = read("Dockerfile")
  .replace(/\\\n\s*/g, "")
  .split("\n");
const last = lines.slice(lines.findLastIndex((line) => line.startsWith("FROM ")));
const said = (word: string, from = last): string[] => from.filter((line) => line.startsWith(`${word} `));

describe("the image", () => {
  it("is made from the Node that the product is pinned to", () => {
    const [major] = JSON.parse(read("package.json")).dependencies.node.split(".");
    expect(said("FROM", lines)).toEqual([
      `FROM node:${major}-bookworm-slim AS dependencies`,
      `FROM node:${major}-bookworm-slim`,
    ]);
  });

  it("starts Node itself, as `npm start` does, and as nobody in particular", () => {
    const { start } = JSON.parse(read("package.json")).scripts;
    const words = [said("ENTRYPOINT"), said("CMD")].flatMap(([line]) => JSON.parse(line?.replace(/^\w+ /, "") ?? ""));
    expect(words.join(" ")).toBe(start);
    expect(said("USER")).toEqual(["USER 1000:1000"]);
  });

  it("writes to /data alone, without a demo", () => {
    expect(said("ENV")).toEqual(["ENV NODE_ENV=production WAYMARK_DATA=/data WAYMARK_DEMO=off"]);
    expect(said("VOLUME")).toEqual(["VOLUME /data"]);
  });

  it("names the ports that processes listen on", () => {
    const { port, healthPort, peers } = settings;
    const grpc = /:(\d+)$/.exec(peers.fallback)?.[1];
    expect(said("EXPOSE")).toEqual([`EXPOSE ${port.fallback} ${grpc} ${healthPort.fallback}`]);
  });

  it("takes in only what it is told: no tests, no documents, no history", () => {
    const ignored = read(".dockerignore")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    expect(ignored[0]).toBe("*");
    const taken = ignored.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
    expect(taken).toEqual(["package.json", "package-lock.json", "LICENSE", "proto/gen", "gateway", "services"]);
    expect(ignored).toEqual(expect.arrayContaining(["**/*.test.ts", "**/test-*.ts", "**/fixture"]));
  });
});
