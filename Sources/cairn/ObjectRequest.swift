import Client
import Platform
import Protocols

// One request about one object, tried at several nodes. A node that could not be reached never saw the request, so
// the next one is asked. Once a write was sent it is not sent again: the answer that is missing may have been "yes",
// and a second write would be a newer one. A read may always be asked again.

struct ObjectRequest {
  /// Where requests go without `--url`: the nodes of this variable, separated by blanks, or the first one of a local
  /// cluster.
  static let urlVariable = "CAIRN_URL"
  private static let localURL = "http://127.0.0.1:10018"
  static let defaultURLs = Console.environment(urlVariable) ?? localURL
  /// As `--help` says it.
  static let defaultURL = "$\(urlVariable), or \(localURL)"
  /// The largest value that a node takes.
  static let valueBytesMax = 64 << 20
  /// How long to wait for an answer when the request itself names no timeout. Longer than the node's own deadline,
  /// so that the node gets to say what was missing.
  static let patienceMilliseconds = 15_000

  enum Method: String {
    case get = "GET"
    case put = "PUT"
    case delete = "DELETE"
  }

  struct Answer {
    let response: HTTPResponse
    let endpoint: Endpoint
    let name: String

    /// Why the command did not succeed, in one line.
    var failure: Failure {
      let reason = response.line
      if response.status == 404 && (reason.isEmpty || reason == "not found") { return Failure("not found: \(name)") }
      return Failure("\(endpoint) answered \(response.status): \(reason.isEmpty ? "no reason given" : reason)")
    }
  }

  let method: Method
  var headers: [(name: String, value: String)] = []
  var body: [UInt8] = []
  private let target: String
  private let name: String
  private let endpoints: [Endpoint]
  private let patienceMilliseconds: Int

  init(_ method: Method, _ arguments: Arguments, parameters: [String]) throws {
    self.method = method
    let bucket = arguments.positionals[0]
    let key = arguments.positionals[1]
    guard !bucket.isEmpty && !key.isEmpty else { throw arguments.problem("an empty BUCKET or KEY names nothing") }
    name = "\(bucket)/\(key)"
    let timeout = try arguments.integer("--timeout", in: 1...3_600_000)
    patienceMilliseconds = timeout.map { $0 + 5000 } ?? ObjectRequest.patienceMilliseconds
    var query = timeout.map { ["timeout=\($0)"] } ?? []
    for parameter in parameters {
      guard let value = arguments.value("--" + parameter) else { continue }
      guard ObjectRequest.isQuorum(value) else {
        throw arguments.problem("--\(parameter) is '\(value)', not a number from 1 to 255, one, quorum or all")
      }
      query.append("\(parameter)=\(value)")
    }
    let path = objectPath(type: arguments.value("--type"), bucket: bucket, key: key)
    target = query.isEmpty ? path : path + "?" + query.joined(separator: "&")
    endpoints = try arguments.endpoints()
  }

  /// What nodes take as a quorum.
  static func isQuorum(_ text: String) -> Bool {
    if ["one", "quorum", "all"].contains(text) { return true }
    return text.utf8.allSatisfy { (48...57).contains($0) } && UInt8(text).map { $0 > 0 } == true
  }

  func perform() throws -> Answer {
    var failures: [String] = []
    var unavailable: Answer?
    for endpoint in endpoints {
      do throws(HTTPClientError) {
        var client = HTTPClient(endpoint, timeoutMilliseconds: patienceMilliseconds)
        let response = try client.send(method.rawValue, target, headers: headers, body: body)
        let answer = Answer(response: response, endpoint: endpoint, name: name)
        guard response.status == 503 && method == .get else { return answer }
        unavailable = answer
      } catch {
        failures.append("\(error)")
        if method != .get, case .noAnswer = error {
          throw Failure("\(error); the \(method == .put ? "value" : "deletion") may or may not have been stored")
        }
      }
    }
    if let unavailable { return unavailable }
    throw Failure(
      failures.joined(separator: "; ") + (failures.count == 1 ? "; is it running? see cairn local status" : ""))
  }
}

extension Arguments {
  /// The nodes of `--url`, or the first node of a local cluster.
  func endpoints() throws(UsageError) -> [Endpoint] {
    let given = allValues("--url")
    let texts = given.isEmpty ? ObjectRequest.defaultURLs.split(separator: " ").map(String.init) : given
    guard !texts.isEmpty else { throw problem("\(ObjectRequest.urlVariable) names no node; type --url URL") }
    var endpoints: [Endpoint] = []
    for text in texts {
      do throws(EndpointError) {
        endpoints.append(try Endpoint(text))
      } catch {
        throw problem("\(given.isEmpty ? ObjectRequest.urlVariable : "--url") \(error.problem)", hint: error.suggestion)
      }
    }
    return endpoints
  }
}

extension HTTPResponse {
  /// The beginning of the body as one line of text.
  var line: String {
    String(decoding: body.prefix(1000), as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
