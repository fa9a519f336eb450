import { defineConfig } from "plantain/config";

export default defineConfig({
  guest: "linux",
  devices: [{ device: "./banana-rom.ts", addr: 0x5000000 }],
});
