import Base
package import MediaControl
package import MediaEngine

/// The files of recordings: the folder itself says which there are.
package struct RecordingLibrary: Sendable {
  package struct File: Hashable, Sendable {
    package var name: RecordingFileName
    package var file: String
    package var bytes: UInt64
    /// It grows still.
    package var isUnfinished: Bool

    /// The name of the call that it is of: recordings are called `CALL-NUMBER`, and a call's name has a hyphen of its own.
    package var call: Substring {
      let name = name.name
      return name[..<(name.lastIndex(of: "-") ?? name.endIndex)]
    }
  }

  package let folder: RecordingFolder

  package init(folder: RecordingFolder) { self.folder = folder }

  /// The oldest first.
  package func files() -> [File] {
    folder.names.compactMap { file in
      let isUnfinished = file.hasSuffix(RecordingFileName.unfinished)
      let proper =
        isUnfinished ? String(file.dropLast(RecordingFileName.unfinished.utf8.count)) : file
      guard let name = RecordingFileName(proper), let status = folder.status(of: file) else {
        return nil
      }
      return File(name: name, file: file, bytes: status.bytes, isUnfinished: isUnfinished)
    }
  }

  /// By the recording's name, or nil.
  package func file(named name: String) -> File? {
    guard RecordingFileName.isName(name) else { return nil }
    return files().first { $0.name.name == name }
  }

  /// Those that are finished and began before the moment, in milliseconds since 1970.
  package func files(before milliseconds: Int64) -> [File] {
    files().filter { !$0.isUnfinished && $0.name.milliseconds < milliseconds }
  }

  /// False: it was not there any more.
  package func remove(_ file: File) -> Bool { folder.remove(file.file) }
}

/// A file of a recording as the API and the command list it.
package struct RecordingFileResource: Codable, Hashable, Sendable {
  package var name: String
  /// The call that it is of.
  package var call: String
  package var started: String
  package var format: String
  package var bytes: UInt64
  package var file: String
  /// finished, or recording while it grows.
  package var state: String

  package init(_ file: RecordingLibrary.File) {
    name = file.name.name
    call = String(file.call)
    started = Timestamp.text(file.name.milliseconds)
    format = file.name.format.name
    bytes = file.bytes
    self.file = file.file
    state = file.isUnfinished ? "recording" : "finished"
  }
}

package struct DeletedRecordingResource: Codable, Hashable, Sendable {
  package var name: String
  package var deleted: String

  package init(name: String, deleted: String) {
    self.name = name
    self.deleted = deleted
  }
}

/// What is asked of a call's recording: `{"action": "start", "format": "opus"}`.
package struct RecordingOrderResource: Codable, Hashable, Sendable {
  package static let actions = ["start", "pause", "resume", "stop"]

  package var action: String
  /// Of `start`; nil: as the settings say.
  package var format: String?

  package init(action: String, format: String? = nil) {
    self.action = action
    self.format = format
  }
}
