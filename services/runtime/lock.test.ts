import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockFolder } from "./lock.ts";

let folder = "";
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-lock-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const IN_USE =
  /^the data folder .+ is in use by another Waymark process; stop it, or set WAYMARK_DATA to another folder$/;

/** Another process that tries to lock the folder: what it says, "held" when it has it. It holds it until it is killed. */
async function elsewhere(path: string): Promise<{ said: string; kill: () => Promise<void> }> {
  const source = `
    import { lockFolder } from ${JSON.stringify(join(import.meta.dirname, "lock.ts"))};
    try { lockFolder(${JSON.stringify(path)}); console.log("held"); setInterval(() => {}, 1000); }
    catch (error) { console.log(error.message); }`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", source], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const said = await new Promise<string>((resolve) =>
    child.stdout?.once("data", (bytes) => resolve(String(bytes).trim())),
  );
  return {
    said,
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

describe("a data folder", () => {
  it("is made with those above it, and held", () => {
    const deep = join(folder, "var", "lib", "waymark");
    lockFolder(deep).release();
    expect(existsSync(deep)).toBe(true);
  });

  it("is not given to a second process, and is once the first lets go", async () => {
    const { release } = lockFolder(folder);
    expect((await elsewhere(folder)).said).toMatch(IN_USE);
    release();
    expect((await elsewhere(folder)).said).toBe("held");
  });

  it("is free at once when its process is killed", async () => {
    const other = await elsewhere(folder);
    expect(other.said).toBe("held");
    expect(() => lockFolder(folder)).toThrow(IN_USE);
    await other.kill();
    lockFolder(folder).release();
  });

  it("is not given twice to one process", () => {
    const { release } = lockFolder(folder);
    expect(() => lockFolder(folder)).toThrow(IN_USE);
    release();
    release();
    lockFolder(folder).release();
  });

  it("beside another is another", () => {
    const first = lockFolder(join(folder, "a"));
    lockFolder(join(folder, "b")).release();
    first.release();
  });
});

describe("what cannot be a data folder is said in a sentence", () => {
  const NO_FOLDER = /^the data folder .+ is no folder, or lies below a file; set WAYMARK_DATA to another folder$/;
  const UNWRITABLE =
    /^the data folder .+ cannot be written to \(.+\); check its owner and rights, or set WAYMARK_DATA$/;

  it("below a file", () => {
    writeFileSync(join(folder, "file"), "");
    expect(() => lockFolder(join(folder, "file", "data"))).toThrow(NO_FOLDER);
    expect(() => lockFolder(join(folder, "file", "data", "more"))).toThrow(NO_FOLDER);
  });

  it("a file", () => {
    writeFileSync(join(folder, "file"), "");
    expect(() => lockFolder(join(folder, "file"))).toThrow(UNWRITABLE);
  });

  it("a link to nowhere", () => {
    symlinkSync(join(folder, "nowhere"), join(folder, "link"));
    expect(() => lockFolder(join(folder, "link"))).toThrow(NO_FOLDER);
  });

  it("where the system allows no folders, without an end to the start", () => {
    expect(() => lockFolder("/proc/waymark/data")).toThrow(UNWRITABLE);
  });

  it("a lock that is no lock", () => {
    mkdirSync(join(folder, "lock.db"));
    expect(() => lockFolder(folder)).toThrow(UNWRITABLE);
    rmSync(join(folder, "lock.db"), { recursive: true });
    writeFileSync(join(folder, "lock.db"), "no database ".repeat(100));
    expect(() => lockFolder(folder)).toThrow(/file is not a database/);
  });
});
