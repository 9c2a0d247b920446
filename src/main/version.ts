/** The version of this package, from its manifest: two folders up, or three in what is built (`dist/`). */

import { existsSync, readFileSync } from 'node:fs';

const places = ['../../package.json', '../../../package.json'].map((path) => new URL(path, import.meta.url));
const manifest = JSON.parse(readFileSync(places.find((place) => existsSync(place))!, 'utf8')) as {
  version: string;
};

export const VERSION: string = manifest.version;
