import Server

// `cairn node`: one node in the foreground. The server reads its own arguments, because the same settings also come
// from a file.

let nodeCommand = Subcommand(
  name: "node", summary: "run one node in the foreground",
  operands: "--name N --data DIR --http H:P [--pb H:P] --cluster H:P --initial-cluster N=H:P,…",
  details: [
    "Logs to standard error, prints 'ready' when it serves, stops cleanly on SIGTERM. Flags win over --set, --set wins",
    "over the file.",
    "",
    "settings:",
  ] + aligned(Configuration.keys.map(settingRow), indent: "  "),
  options: [
    Option("--config", "FILE", help: "read settings from a file of 'key = value' lines"),
    Option("--set", "KEY=VALUE", repeats: true, help: "one setting"),
  ],
  examples: [
    "node --name n1 --data ./n1 --http 127.0.0.1:10018 --cluster 127.0.0.1:10016 \\\n"
      + "    --initial-cluster n1=127.0.0.1:10016,n2=127.0.0.1:10026,n3=127.0.0.1:10036"
  ],
  runWords: runNodeCommand)

private func settingRow(_ key: ConfigurationKey) -> [String] {
  let isFlag = key.isIdentity
  let value = key.defaultText.isEmpty ? key.unit : "\(key.unit), default \(key.defaultText)"
  return [isFlag ? key.flag : "--set \(key.name)=…", "\(key.documentation) (\(value))"]
}

@Sendable private func runNodeCommand(_ words: [String]) throws -> Int32 {
  do throws(ConfigurationError) {
    let configuration = try Configuration(arguments: words)
    try configuration.validate()
    return runNode(configuration)
  } catch {
    throw UsageError(problem: "\(error)", hint: "see cairn node --help")
  }
}
