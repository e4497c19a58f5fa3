package catalog

// meanings says in a sentence what each type of event means.
var meanings = map[string]string{
	"Applied":              "A resident applied for a permit: the application with all that was resolved for it, the price and the tariff's version included.",
	"Approved":             "A reviewer approved the application: it is a permit with a first term, and the held money is to be taken.",
	"Rejected":             "A reviewer rejected the application, for the reasons given; the held money is to be given back.",
	"Renewed":              "The permit has a further term, which begins on the day after the last one.",
	"VehicleChanged":       "Another vehicle is on the permit.",
	"AddressChanged":       "The permit moved to another property in the same zone.",
	"Cancelled":            "The permit ended, or the application was withdrawn: by its holder, by the council, or for want of payment.",
	"AutoRenewalCancelled": "There will be no later automatic charges; the permit itself stays.",

	"AccountOpened":         "A resident's account was opened.",
	"AccountInvited":        "Somebody was invited to claim an account that nobody owns, by a single-use link.",
	"AccountClaimed":        "An account that nobody owned belongs to whoever followed its invitation.",
	"AccountDetailsChanged": "The details of a person were replaced as a whole.",
	"DocumentUploaded":      "A document was received for the account; the document itself is sealed outside the log.",
	"DocumentDropped":       "A document that no application named was removed.",
	"AccountErased":         "The person's key was destroyed: what was sealed with it can never be read again.",

	"SlotTaken": "A permit has a slot at this property; the permits named as displaced had lost theirs.",

	"PaymentRequested":  "The provider is asked for the money of one term, for the n-th time.",
	"PaymentAwaited":    "The payer must act at the provider's page.",
	"PaymentAuthorised": "The money is held and not yet taken.",
	"PaymentCaptured":   "The money was taken.",
	"PaymentReleased":   "The hold was given back.",
	"PaymentLapsed":     "The hold ended unused.",
	"PaymentFailed":     "The provider declined, or what was to be taken after the approval could not be (outstanding).",
	"PaymentRefunded":   "Money that had been taken went back.",

	"TariffPublished":   "The council published prices, in force from a day on; a tariff is never edited, only superseded.",
	"PolicyPublished":   "The council published its figures (limits, windows, refunds) and its contact, in force from a day on.",
	"TermsPublished":    "The council published a version of the terms and conditions.",
	"GazetteerImported": "One part of the council's gazetteer of properties was imported; a version is complete when all its parts are there.",

	"InformationRequested": "The application was referred back to the resident, who is asked for something more.",
	"InformationSupplied":  "The resident answered with documents, words or both.",

	"RecordRead":     "A member of staff opened a named person's record.",
	"PeopleSearched": "A member of staff searched for people and was shown the records named.",

	"VaultBound":         "The log belongs to this vault, whose keys open its sealed parts; written once.",
	"LogSetBack":         "The log lacked events that were known before, and an admin accepted it: the newest number known, its event's id, and the newest number at which the log was the same.",
	"ClockMoved":         "The simulated clock of a demonstration was put forward.",
	"ProviderInstructed": "The simulated payment provider was told what to do next for an account.",
}
