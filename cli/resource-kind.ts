/** What an entry of the table of resources is. */
export interface CreateOption {
  /** commander's flags: `--network <id>`. */
  readonly flags: string;
  /** Field of the request body. */
  readonly field: string;
  readonly description: string;
  readonly required?: true;
  /** May be given several times; the field is a list. */
  readonly repeated?: true;
  readonly parse?: (text: string) => unknown;
  /** Path of the resource the value names, by id or by name. */
  readonly reference?: string;
  /** Builds the field's value from all parsed values of a repeated option. */
  readonly combine?: (values: readonly unknown[]) => unknown;
  /** The option can be changed later with `update`. */
  readonly updatable?: true;
}

export interface ResourceKind {
  /** Singular, as in `selvage network`. */
  readonly noun: string;
  readonly path: string;
  readonly description: string;
  /** Fields shown by `list`, after the id. */
  readonly columns: readonly string[];
  readonly create?: readonly CreateOption[];
  readonly deletable?: true;
  /** How one is named in examples. */
  readonly named: string;
  /** A filter of its list, for examples. */
  readonly filter?: string;
  /** Of `create`. */
  readonly example?: string;
  /** Examples of `update`. */
  readonly updates?: readonly string[];
}
