import Platform
import Storage

// `cairn store`: the files of a node, mostly of one that does not run. Only `merge`, `repair`, `snapshot` and
// `hints --write` change or add anything.

private let directoryNote =
  "DIR is a store's directory (DATA/stores/p000-n3) or a node's (DATA); no node may run on it meanwhile."

let storeCommand = Subcommand(
  name: "store", summary: "look at the files of a node that does not run, salvage them, snapshot any",
  examples: ["store verify ./.cairn/n1", "store inspect ./.cairn/n1 --bucket fruit --key apple"],
  children: [
    Subcommand(
      name: "inspect", summary: "show what a store is and, if asked, the records in it", operands: "DIR",
      details: [
        directoryNote, "",
        "Any filter asks for records. They come in the order they stand in the files, superseded versions too. Bytes that",
        "cannot be shown stand as \\xNN, a backslash as \\\\; --bucket, --type and --key read them so too.",
      ],
      options: [
        Option("--records", help: "show the records")
      ] + RecordFilter.options + [
        Option("--json", help: "print JSON; of records one line each")
      ],
      examples: [
        "store inspect ./.cairn/n1", "store inspect ./.cairn/n1/stores/p000-n3 --records --limit 20",
        "store inspect ./.cairn/n1 --tombstones --json",
      ],
      run: storeInspect),
    Subcommand(
      name: "verify", summary: "read every byte and say what is not as it was written", operands: "DIR...",
      details: [
        directoryNote, "",
        "Checks manifests, headers, every record, hint files against their data files, and the journal. An error is",
        "something durable that is gone or changed; a note is something that the next start puts right by itself. Exit",
        "code 0 when there is no error.",
      ],
      options: [Option("--json", help: "print JSON")],
      examples: ["store verify ./.cairn/n1", "store verify ./.cairn/n1/stores/p000-n3 ./.cairn/n1/stores/p001-n3"],
      run: storeVerify),
    Subcommand(
      name: "snapshot", summary: "make a consistent copy of a node's stores beside them, by hard links",
      operands: "DIR",
      details: [
        "DIR is a node's directory (DATA). A node that runs on it is asked to make the snapshot, and goes on meanwhile; for",
        "one that does not run, the stores are opened as a start would open them. The snapshot is DATA/snapshots/NAME, with",
        "all that was written before it was asked for. It takes no space until merges and writes let old files go, and it",
        "is no backup before it is copied to another disk.",
      ],
      options: [
        Option("--name", "NAME", help: "what to call it (default: the time)"),
        Option("--store", "ID", help: "one store only: p042-n3, hints-3"),
        Option(
          "--url", "URL", repeats: true,
          help: "the node, when it runs (default $\(ObjectRequest.urlVariable), or what cairn local knows)"),
        Option("--json", help: "print JSON"),
      ],
      examples: ["store snapshot ./.cairn/n1", "store snapshot ./.cairn/n1 --name before-upgrade --json"],
      run: storeSnapshot),
    Subcommand(
      name: "merge", summary: "give back the bytes that superseded records take", operands: "DIR",
      details: [
        directoryNote, "",
        "What a running node does by and by (merge_* in its configuration; curl -X POST URL/admin/merge asks for it at",
        "once) is done for every file that holds anything superseded. Killed in the middle, it leaves the store whole.",
      ],
      options: [Option("--json", help: "print JSON")],
      examples: ["store merge ./.cairn/n1", "store merge ./.cairn/n1/stores/p000-n3"],
      run: storeMerge),
    Subcommand(
      name: "hints", summary: "show, or with --write make, the hint files that let a store open fast",
      operands: "DIR",
      details: [
        directoryNote, "",
        "A hint file that is missing or does not fit costs time at the next start, and nothing else. Writes that a node",
        "keeps for another one are called hints too, and are something else: see cairn hints.",
      ],
      options: [
        Option("--write", help: "make those that are missing or unfit, for files that take no more records"),
        Option("--json", help: "print JSON"),
      ],
      examples: ["store hints ./.cairn/n1", "store hints ./.cairn/n1 --write"],
      run: storeHints),
    Subcommand(
      name: "repair", summary: "write a new store of all that is whole in a damaged one", operands: "DIR TO",
      details: [
        "DIR is a store's directory (DATA/stores/p000-n3), which is only read; TO is a new directory. No node may run on",
        "DATA meanwhile.", "",
        "Takes every whole record of the data files, also behind damage, and those that only the node's journal has, and",
        "says exactly what it could not take: file, offset, length, reason, and the keys hit and around. The new store is",
        "fenced: its node serves nothing from it, because what is missing must not pass for deleted or never written. Exit",
        "code 0 when nothing that was durable is lost. A TO without a manifest is left from a repair that did not finish.",
      ],
      options: [
        Option("--node", "DIR", help: "the node's directory, when DIR is a copy of its store"),
        Option("--json", help: "print JSON"),
      ],
      examples: [
        "store repair ./.cairn/n1/stores/p000-n3 ./p000-n3.new",
        "store repair ./copy-of-p000-n3 ./p000-n3.new --node ./.cairn/n1",
      ],
      run: storeRepair),
  ])

extension Arguments {
  /// The one directory that was named.
  func oneDirectory() throws(UsageError) -> String {
    guard positionals.count == 1 else {
      throw problem(
        positionals.isEmpty ? "which directory?" : "\(positionals.count) directories are named, and one is looked at",
        hint: "name a node's directory, ./.cairn/n1, or a store's, ./.cairn/n1/stores/p000-n3")
    }
    return positionals[0]
  }
}

/// What lies in the directory of a store. - Throws: when it cannot be listed.
func contents(of store: String, _ files: inout PosixFileSystem) throws(Failure) -> StoreContents {
  do throws(StorageError) {
    return try StoreContents(reading: store, on: &files)
  } catch {
    throw Failure("\(error)")
  }
}

/// `000001.data`
func fileName(_ path: String) -> String { StorePlace.name(path) }
