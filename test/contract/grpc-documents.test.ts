import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFileRegistry, type DescFile, equals, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contract } from "../../services/contract.ts";
import { makeAuthority, makeCertificate } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";
import { isMissing, serverProgram } from "../support/servers.ts";
import { ADMIN_KEY, startWaymark, type Waymark } from "../support/waymark.ts";

const program = serverProgram("bin/grpcurl");

/** The lines of docs/grpc.md that call grpcurl, in order; what stands after "#" is what the caller is told. */
const lines = readFileSync(join(import.meta.dirname, "../../docs/grpc.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("grpcurl "))
  .map((line) => {
    const [command = "", refusal] = line.split(" # ");
    return { command, refusal: refusal?.split(" "), isSecure: command.includes("-cacert") };
  });

interface Ended {
  code: number;
  out: string;
}

function grpcurl(words: string[], cwd?: string): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program as string, words, { cwd, timeout: 20_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out: stdout + stderr });
    });
  });
}

/** Words of a line as a shell reads them: blanks part, quotes of both kinds hold together. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) =>
    String(single ?? double ?? plain),
  );
}

describe.skipIf(isMissing("grpcurl", program))("docs/grpc.md", () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-grpc-"));
  const ports = { plain: 0, secure: 0 };
  const running: Waymark[] = [];
  beforeAll(async () => {
    ports.plain = await freePort();
    ports.secure = await freePort();
    makeAuthority(folder, "ca");
    for (const name of ["server", "caller"]) makeCertificate(folder, { name, authority: "ca" });
    const tls = {
      WAYMARK_TLS_CERT: join(folder, "server.pem"),
      WAYMARK_TLS_KEY: join(folder, "server.key"),
      WAYMARK_TLS_CA: join(folder, "ca.pem"),
    };
    running.push(await startWaymark({ WAYMARK_GRPC_PORT: String(ports.plain) }));
    running.push(await startWaymark({ WAYMARK_GRPC_PORT: String(ports.secure), ...tls }));
  });
  afterAll(async () => {
    await Promise.all(running.map(({ stop }) => stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (command: string, port: number) => {
    const here = command.replaceAll("localhost:9090", `127.0.0.1:${port}`).replaceAll("$WAYMARK_KEY", ADMIN_KEY);
    return grpcurl(wordsOf(here).slice(1), folder);
  };

  it("has lines", () => {
    expect(lines.length).toBeGreaterThan(10);
  });

  it.each(lines)("$command", async ({ command, refusal, isSecure }) => {
    const { code, out } = await run(command, isSecure ? ports.secure : ports.plain);
    if (refusal === undefined) {
      expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/\S/) });
    } else {
      const [name, reason] = refusal;
      expect(code).not.toBe(0);
      expect(out).toContain(`Code: ${name}`);
      expect(out).toContain(`"reason": "${reason}"`);
    }
  });

  it("answers of health are SERVING", async () => {
    for (const { command } of lines.filter((line) => line.command.includes("Health/Check"))) {
      expect((await run(command, ports.plain)).out).toContain('"status": "SERVING"');
    }
  });

  it("encryption is not to be had without a certificate", async () => {
    const call = (options: string) =>
      run(`grpcurl -max-time 3 -connect-timeout 3 ${options} localhost:9090 list`, ports.secure);
    expect((await call("-plaintext")).code).not.toBe(0);
    expect((await call("-cacert ca.pem")).code).not.toBe(0);
  });
});

/** A file and all that it imports. */
function reach(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  if (!found.has(file)) for (const one of found.add(file) && file.dependencies) reach(one, found);
  return found;
}

describe.skipIf(program === undefined)("reflection", () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-grpc-"));
  let waymark: Waymark;
  let address: string;
  beforeAll(async () => {
    const port = await freePort();
    waymark = await startWaymark({ WAYMARK_GRPC_PORT: String(port) });
    address = `127.0.0.1:${port}`;
  });
  afterAll(async () => {
    await waymark.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const standard = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
  ];

  it("lists every service", async () => {
    const { out } = await grpcurl(["-plaintext", address, "list"]);
    const all = [...contract.map(({ typeName }) => typeName), ...standard];
    expect(out.trim().split("\n").sort()).toEqual(all.sort());
  });

  it.each(contract.map((service) => [service.typeName, service] as const))(
    "describes %s as it is written, with options and imports",
    async (name, service) => {
      const { code, out } = await grpcurl(
        ["-plaintext", "-protoset-out", "all.protoset", address, "describe", name],
        folder,
      );
      expect(code).toBe(0);
      for (const method of service.methods) expect(out).toContain(`rpc ${method.name} (`);
      expect(out).toContain(".waymark.options.v1.method");
      const set = fromBinary(FileDescriptorSetSchema, readFileSync(join(folder, "all.protoset")));
      const told = new Map(set.file.map((file) => [file.name, file]));
      expect(createFileRegistry(set).getService(name)?.methods).toHaveLength(service.methods.length);
      for (const { proto } of reach(service.file)) {
        const file = told.get(proto.name);
        expect(file && equals(FileDescriptorProtoSchema, file, proto)).toBe(true);
      }
    },
  );

  it.each([...standard, "google.rpc.ErrorInfo", "waymark.options.v1.method"])("describes %s", async (name) => {
    expect(await grpcurl(["-plaintext", address, "describe", name])).toMatchObject({ code: 0 });
  });

  it("of what is not there says so", async () => {
    const { code, out } = await grpcurl(["-plaintext", address, "describe", "waymark.none.v1.None"]);
    expect(code).not.toBe(0);
    expect(out).toContain("not found");
  });
});
