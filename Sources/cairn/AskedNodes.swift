import Client
import Platform
import Primitives
import Protocols

// Commands that ask several nodes the same: which nodes those are, and what each of them answers.

extension Arguments {
  /// The nodes to ask: those that are named, or all of a local cluster.
  func nodesToAsk() throws -> [Endpoint] {
    let isSaid = !allValues("--url").isEmpty
    if isSaid, value("--data") != nil {
      throw problem("--url and --data both name nodes; give one of them", hint: "see \(command) --help")
    }
    if isSaid || value("--data") == nil && Console.environment(ObjectRequest.urlVariable) != nil {
      return try endpoints()
    }
    let directory = try localDirectory()
    if let cluster = try LocalCluster.load(directory) { return cluster.nodes.map { cluster.endpoint($0) } }
    guard value("--data") == nil else {
      throw Failure("there is no local cluster in \(directory); start one with cairn local up\(dataSuffix)")
    }
    return try endpoints()
  }

  static let nodesToAskOptions = [
    Option("--url", "URL", repeats: true, help: "a node; all of them are asked"),
    Option("--data", "DIR", help: "where a local cluster lives; all of its nodes are asked"),
  ]
}

/// The document that a node answers. - Throws: why there is none, naming the node.
func askedDocument(
  _ method: String, _ target: String, _ endpoint: Endpoint, patienceMilliseconds: Int
) throws(Failure) -> JSON {
  let (status, document) = try answered(method, target, endpoint, patienceMilliseconds)
  guard status == 200 else { throw refused(endpoint, status, document) }
  return document
}

/// The same; nil when the node says that it has no such thing.
func askedDocumentIfThere(
  _ method: String, _ target: String, _ endpoint: Endpoint, patienceMilliseconds: Int
) throws(Failure) -> JSON? {
  let (status, document) = try answered(method, target, endpoint, patienceMilliseconds)
  if status == 404 { return nil }
  guard status == 200 else { throw refused(endpoint, status, document) }
  return document
}

private func refused(_ endpoint: Endpoint, _ status: Int, _ document: JSON) -> Failure {
  Failure("\(endpoint) answered \(status): \(document["error"]?.string ?? "?")")
}

private func answered(
  _ method: String, _ target: String, _ endpoint: Endpoint, _ patienceMilliseconds: Int
) throws(Failure) -> (status: Int, document: JSON) {
  var client = HTTPClient(endpoint, timeoutMilliseconds: patienceMilliseconds)
  let answer: HTTPResponse
  do throws(HTTPClientError) {
    answer = try client.send(method, target)
  } catch {
    throw Failure("\(error)")
  }
  if let document = try? JSON.parse(answer.body) { return (answer.status, document) }
  guard answer.status != 200 else { throw Failure("\(endpoint) sent something that is no JSON") }
  return (answer.status, .object(["error": .string(answer.line)]))
}

/// What several nodes show under one path: of each that answers its document, and why the others do not.
func shownDocuments(_ target: String, _ endpoints: [Endpoint]) -> (documents: [JSON], problems: [String]) {
  var documents: [JSON] = []
  var problems: [String] = []
  for endpoint in endpoints {
    do throws(Failure) {
      documents.append(try askedDocument("GET", target, endpoint, patienceMilliseconds: lookMillisecondsMax))
    } catch {
      problems.append(error.message)
    }
  }
  return (documents, problems)
}

/// A look is for eyes that wait.
let lookMillisecondsMax = 5000

/// A task that a node answers when it is done, which may take minutes; a thread waits for it.
struct PendingTask {
  /// Longer than any task lasts that is bounded in its rate at all sensibly.
  private static let patienceMilliseconds = 86_400_000
  private let place = Place()

  private final class Place: Sendable {
    let answer = Locked<Result<JSON, Failure>?>(nil)
  }

  /// - Throws: when there is no thread to be had.
  init(_ target: String, _ endpoint: Endpoint) throws {
    let place = place
    _ = try Thread {
      let answer = Result { () throws(Failure) in
        try askedDocument("POST", target, endpoint, patienceMilliseconds: PendingTask.patienceMilliseconds)
      }
      place.answer.withLock { $0 = answer }
    }
  }

  /// Nil as long as there is none.
  var answer: Result<JSON, Failure>? { place.answer.withLock { $0 } }
}
