package demo

import "permitledger/domain"

// rejection is a reason with the words that belong to it.
type rejection struct {
	code                        domain.ReasonCode
	clause, text, told, finding string
}

// rejections are those of the history, in turn. The clauses are those of the
// sample council's terms.
var rejections = []rejection{
	{domain.ReasonNameMismatch, "3.3", "The bill is in another name than the application.",
		"We could not approve your permit because your proof of address is in another name. Please send one in your own.", "another name"},
	{domain.ReasonVehicleNotRegistered, "4.1", "The V5C shows a keeper at another address.",
		"We could not approve your permit because the vehicle is registered at another address.", "good"},
	{domain.ReasonEvidenceIllegible, "3.4", "The photograph is too dark to read the date.",
		"We could not read your proof of address. Please send a clearer picture.", "the date cannot be read"},
	{domain.ReasonNotResident, "2.1", "The letter says that the property is let to somebody else.",
		"We could not approve your permit because you do not seem to live at the property.", "speaks against living there"},
	{domain.ReasonVehicleNotEligible, "4.2", "The V5C is that of a horsebox of 4.2 tonnes.",
		"We could not approve your permit because the vehicle is too heavy for a bay.", "good"},
	{domain.ReasonEvidenceMissing, "3.1", "The second page of the agreement, with the signatures, is missing.",
		"We could not approve your permit because a page of your agreement is missing.", "incomplete"},
	{domain.ReasonDuplicate, "2.4", "The same vehicle was applied for at this property the week before.",
		"You have applied for this vehicle already; that application goes on.", "good"},
	{domain.ReasonWrongZone, "2.3", "The bill is for a house in another zone.",
		"We could not approve your permit because your proof is for an address in another zone.", "an address elsewhere"},
	{domain.ReasonTenancyTooLong, "2.5", "The tenancy can run longer than a temporary resident's permit allows for.",
		"Please apply for a resident's permit instead: your tenancy may run longer than twelve months.", "renewable beyond twelve months"},
	{domain.ReasonEvidenceOutOfDate, "3.2", "The statement is dated eight months before the application, not last month as it was entered.",
		"We could not approve your permit because your proof of address is more than three months old.", "dated eight months ago"},
	{domain.ReasonPropertyNotEligible, "2.2", "The flats were built on the condition that no permits are sold for them.",
		"We could not approve your permit: your building was given planning permission as car-free.", "good"},
	{domain.ReasonPropertyLimit, "2.4", "The annexe counts as part of the house, which has its two permits.",
		"We could not approve your permit because your house has two permits already.", "names the annexe"},
	{domain.ReasonVehiclePermitted, "2.7", "The vehicle has a permit in this zone already, for the house of a relative.",
		"We could not approve a second permit for a vehicle that has one in your zone.", "good"},
	{domain.ReasonBlueBadgeInvalid, "2.6", "The number on the badge is that of one reported lost.",
		"We could not approve a free permit with this Blue Badge. Please call us about it.", "good"},
	{domain.ReasonPaymentLapsed, "5.4", "The card's hold ended, and two letters that asked for another payment were not answered.",
		"We could not approve your permit because it was not paid for in time.", "good"},
	{domain.ReasonOther, "3.6", "The same document was sent with another person's application, the name painted over.",
		"We could not accept your document. Please call us about it.", "altered"},
}

// questions are what reviewers ask for before they decide.
var questions = []string{
	"Please send a bank statement or bill that shows your full name; the one you sent shows initials only.",
	"The first page of the bill is cut off. Please send all of it, or a bank statement.",
	"Your proof is for the flat below. Please send one for your own flat.",
}

// farewells are why residents cancel.
var farewells = []string{"The car was sold.", "I am moving away.", "I have a garage now.", "I gave up driving."}
