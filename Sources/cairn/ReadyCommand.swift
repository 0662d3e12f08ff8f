import Client
import Protocols

// `cairn ready`: does a node serve? For health checks of containers and scripts, which then need no other program.

private let patienceMilliseconds = 3000

let readyCommand = Subcommand(
  name: "ready", summary: "ask nodes whether they serve",
  details: ["Exit code 0 when all that were asked do, else 1 and why. An answer is waited for three seconds at most."],
  options: [Option("--url", "URL", repeats: true, help: "a node (default \(ObjectRequest.defaultURL))")],
  examples: ["ready", "ready --url http://127.0.0.1:10028"], run: ready)

@Sendable private func ready(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  var problems: [String] = []
  for endpoint in try arguments.endpoints() {
    do throws(HTTPClientError) {
      var client = HTTPClient(endpoint, timeoutMilliseconds: patienceMilliseconds)
      let answer = try client.send("GET", "/ready")
      if answer.status != 200 { problems.append("\(endpoint) does not serve: \(answer.line)") }
    } catch {
      problems.append("\(error)")
    }
  }
  guard problems.isEmpty else { throw Failure(problems.joined(separator: "; ")) }
  try printOut("ready\n")
  return 0
}
