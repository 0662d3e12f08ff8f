import Platform
import Server

// `cairn config`: what can be set, and whether a file says it right.

let configCommand = Subcommand(
  name: "config", summary: "check a configuration file, or print what can be set",
  examples: ["config check /etc/cairn/cairn.conf", "config sample > cairn.conf"],
  children: [
    Subcommand(
      name: "check", summary: "say everything that is wrong with a configuration file", operands: "FILE",
      details: [
        "One line per mistake, with the line's number; exit code 1 when there is any. What the file leaves out may come from",
        "flags, and whether addresses and directories are there is found out by the node that uses them.",
      ],
      examples: ["config check /etc/cairn/cairn.conf"], run: configCheck),
    Subcommand(
      name: "docs", summary: "print the manual of all settings (Markdown)", examples: ["config docs"],
      run: { try printDocument(ConfigurationDocuments.manual, $0) }),
    Subcommand(
      name: "sample", summary: "print a configuration file with every setting, commented out",
      examples: ["config sample > cairn.conf"], run: { try printDocument(ConfigurationDocuments.sample, $0) }),
  ])

@Sendable private func configCheck(_ arguments: Arguments) throws -> Int32 {
  guard arguments.positionals.count == 1 else {
    throw arguments.problem("which file? name one", hint: "usage: cairn config check FILE")
  }
  let path = arguments.positionals[0]
  let mistakes: [String]
  do throws(ConfigurationError) {
    mistakes = Configuration.mistakes(inFile: try Configuration.read(path), path: path)
  } catch {
    throw Failure("\(error)")
  }
  guard mistakes.isEmpty else {
    writeToStandardError(mistakes.map { oneLine($0) + "\n" }.joined())
    return 1
  }
  try printOut("\(path): no mistakes\n")
  return 0
}

private func printDocument(_ text: String, _ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  try printOut(text)
  return 0
}
