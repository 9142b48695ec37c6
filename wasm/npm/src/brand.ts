const BRAND = "distributedlog/";

/**
 * Names a class, and marks its instances. Minifiers rename classes: `console.log`, debuggers and
 * `Error.name` show this name.
 */
export function publish(name: string, { prototype }: { prototype: object }): void {
  Object.defineProperty(prototype.constructor, "name", { value: name });
  Object.defineProperty(prototype, Symbol.for(BRAND + name), { value: true });
}

/**
 * `Symbol.hasInstance` of the published classes: by the mark, so that instances of the same class
 * of another copy of the package count, for instance of `import` beside `require`. Classes that
 * users derive have no mark of their own.
 */
export function isInstance(this: { prototype: object; name: string }, value: unknown): boolean {
  const brand = Symbol.for(BRAND + this.name);
  return Object.hasOwn(this.prototype, brand)
    ? brand in Object(value)
    : Function.prototype[Symbol.hasInstance].call(this, value);
}
