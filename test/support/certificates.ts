import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Makes `<name>.pem` and `<name>.key` of an authority in a folder, with openssl. */
export function makeAuthority(folder: string, name: string): void {
  openssl(folder, ["req", "-x509", ...KEY, "-subj", `/CN=${name}`, "-days", "2", ...outputs(name)]);
}

/** Makes `<name>.pem` and `<name>.key` for this machine, signed by an authority of the same folder. */
export function makeCertificate(folder: string, { name, authority }: { name: string; authority: string }): void {
  openssl(folder, ["req", ...KEY, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`]);
  writeFileSync(join(folder, `${name}.ext`), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const signer = ["-CA", `${authority}.pem`, "-CAkey", `${authority}.key`, "-CAcreateserial", "-days", "2"];
  const request = ["x509", "-req", "-in", `${name}.csr`, "-extfile", `${name}.ext`];
  openssl(folder, [...request, ...signer, "-out", `${name}.pem`]);
}

const outputs = (name: string): string[] => ["-keyout", `${name}.key`, "-out", `${name}.pem`];

function openssl(folder: string, words: string[]): void {
  execFileSync("openssl", words, { cwd: folder, stdio: "pipe" });
}
