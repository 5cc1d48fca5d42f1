package import Policy

/// One row of the catalogue as the command prints it.
package struct CauseResource: Codable, Hashable, Sendable {
  package var name: String
  package var sip: Int
  package var q850: Int
  package var meaning: String
  package var remedy: String

  package init(_ cause: Cause) {
    name = cause.name
    sip = cause.sipStatus
    q850 = cause.q850
    meaning = cause.meaning
    remedy = cause.remedy
  }
}

/// The catalogue of causes: as a table, as JSON, and as the rows of docs/causes.md.
package enum CauseViews {
  package static func table(_ causes: [Cause]) -> Table {
    Table(
      [
        TableColumn("CAUSE"), TableColumn("SIP", .right), TableColumn("Q.850", .right),
        TableColumn("WHAT HAPPENED", shrinksTo: 20), TableColumn("WHAT TO DO", shrinksTo: 20),
      ],
      rows: causes.map { cause in
        [
          TableCell(cause.name), TableCell(String(cause.sipStatus)), TableCell(String(cause.q850)),
          TableCell(cause.meaning), TableCell(cause.remedy),
        ]
      })
  }

  /// One cause whole.
  package static func sheet(_ cause: Cause) -> Sheet {
    var sheet = Sheet()
    sheet.add("cause", cause.name)
    sheet.add("SIP", String(cause.sipStatus))
    sheet.add("Q.850", String(cause.q850))
    sheet.add("what happened", cause.meaning)
    sheet.add("what to do", cause.remedy)
    return sheet
  }
}
