"""Names of columns that identify, and names that only sound so."""

import numpy as np
import pandas as pd
import pytest

from privsynth.kinds import Identifier
from privsynth.transforms.fakes import make_fakes
from privsynth.transforms.naming import identifier_from_name

MEANT = {
    "key": (
        "id Id ID row_id rowId RowID customer_id customerID CustomerId customer-id|customer id|customerid userid id_2 "
        "pk "
        "row_key PrimaryKey key transaction_id TransactionID order_id encounter_id patient_id account_id "
        "patient_nbr invoice_no InvoiceNo order_number policy_number PASSPORT passport passport_no passportNumber "
        "mrn medical_record_number national_id tax_id uid session_id trip_id identifier id_number mac_address "
        "account_number accountnumber PassengerId Loan_ID host_id"
    ),
    "uuid": "uuid UUID guid GUID session_uuid rowGuid customer_uuid",
    "email": "email Email e_mail e-mail eMail E-Mail EMAIL customer_email emailAddress email_address work_email email2",
    "phone": (
        "phone Phone mobile phone_number phoneNumber phonenumber mobile_no customer_phone home_phone telephone_number "
        "cell_phone tel fax contact_number msisdn phone1"
    ),
    "iban": "iban IBAN customer_iban account_iban recipientIBAN",
    "card": (
        "card_number cardNumber cardnumber pan PAN credit_card_no credit_card_number cc_num ccnum debit_card_number"
    ),
    "ssn": "ssn SSN social_security_number patient_ssn",
    "first_name": "first_name firstName FIRSTNAME fname given_name forename middle_name customer_first_name",
    "last_name": "last_name lastname surname Surname family_name lname maiden_name patient_surname",
    "name": (
        "name Name full_name fullname FullName customer_name CustomerName patient_name cardholder_name host_name "
        "user_name username account_holder_name name_on_card"
    ),
    "address": "address street_address Address home_address address_line_1 billing_address customer_address Address2",
    "ip": "ip ip_address IPAddress ipaddress client_ip IPv4 ipv4_address src_ip dst_ip",
    "url": "url URL website image_url profileUrl web_address homepage",
}
TRAPS = (
    "city-mpg bid paid valid width idle_time period capital-gain education-num phone_calls_count n_emails num_cards "
    "card_type name_length grid candidate product_name file_name country_name address_changes ip_count is_id_verified "
    "identity_theft_flag hybrid acid fluid humid covid void PaidOff invalid_count monkey turkey keyboard key_count "
    "keywords has_email email_opt_in email_domain email_verified email_count phone_type PhoneService MultipleLines "
    "own_telephone credit_card HasCrCard credit_score card_brand num_of_credit_cards cards mobile_wt touch_screen "
    "product_id VendorID RatecodeID PULocationID admission_type_id discharge_disposition_id country_id store_id "
    "category_id merchant_id item_key city_key street_name company_name hostname nickname_count names username_length "
    "url_length n_urls has_url ip_country ipo trip zip ship address_count addressed state city zipcode postal_code "
    "contact house_number room_number flight_number number_of_ids has_id valid_id photo_id n_id education age "
    "balance month day duration campaign pdays previous poutcome Pclass SibSp Parch Ticket Fare Cabin Embarked "
    "gender hypertension work_type Residence_type avg_glucose_level bmi smoking_status stroke pandemic panel span "
    "company tel_calls x0 feature_1 target y visit_number midday confidence side residence solid rapid"
)


def split(text):
    """Names are apart by spaces; a name with a space inside stands between bars."""
    head, *rest = text.split("|")
    names = head.split()
    for i, part in enumerate(rest):
        names += [part] if i % 2 == 0 else part.split()
    return names


CASES = [(name, kind) for kind, text in MEANT.items() for name in split(text)]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_names_that_identify(name, kind):
    assert identifier_from_name(name, "object") == Identifier(fake=kind)


@pytest.mark.parametrize("name", TRAPS.split())
def test_names_that_do_not(name):
    assert [identifier_from_name(name, dtype) for dtype in ("object", "string", "int64", "float64")] == [None] * 4


def test_there_are_enough_names():
    assert len(CASES) >= 120
    assert len(TRAPS.split()) >= 100


@pytest.mark.parametrize("name", ["", "_", "  ", "123", "é", "日本語", "numéro_idé", "_id"])
def test_any_name_is_read(name):
    assert identifier_from_name(name, "object") == (Identifier() if name == "_id" else None)


@pytest.mark.parametrize(
    "dtype", ["object", "string", "string[pyarrow]", "large_string[pyarrow]", object, pd.StringDtype()]
)
@pytest.mark.parametrize("name", ["customer_id", "email", "phone", "full_name", "uuid"])
def test_text_identifies(name, dtype):
    assert identifier_from_name(name, dtype) is not None


@pytest.mark.parametrize(
    "dtype", ["bool", "boolean", "bool[pyarrow]", "category", "datetime64[ns]", "timedelta64[ns]", "complex128"]
)
@pytest.mark.parametrize("name", ["customer_id", "email", "phone", "name", "uuid", "key"])
def test_other_data_types_never_do(name, dtype):
    assert identifier_from_name(name, dtype) is None


@pytest.mark.parametrize("dtype", ["int64", "Int64", "uint64", "int64[pyarrow]", np.dtype("int64")])
def test_whole_numbers(dtype):
    found = {name: identifier_from_name(name, dtype) for name in ("id", "phone", "ssn", "card_number", "uuid")}
    assert None not in found.values()
    assert [identifier_from_name(name, dtype) for name in ("email", "name", "url", "ip", "address", "iban")] == [
        None
    ] * 6


@pytest.mark.parametrize(("name", "narrowest"), [("id", 8), ("phone", 32), ("ssn", 32), ("card_number", 64)])
def test_narrow_whole_numbers_are_flags_and_counts(name, narrowest):
    found = [bits for bits in (8, 16, 32, 64) if identifier_from_name(name, f"int{bits}") is not None]
    assert found == [bits for bits in (8, 16, 32, 64) if bits >= narrowest]


@pytest.mark.parametrize("dtype", ["float64", "Float64", "float32", "double[pyarrow]"])
def test_floats_only_where_the_name_ends_so(dtype):
    assert all(identifier_from_name(name, dtype) for name in ("customer_id", "row_key", "uuid", "CustomerID"))
    assert [identifier_from_name(name, dtype) for name in ("phone", "email", "invoice_no", "card_number")] == [None] * 4


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_found_can_be_made(name, kind):
    for dtype in ("object", "int64", "float64"):
        identifier = identifier_from_name(name, dtype)
        if identifier is not None:
            assert str(make_fakes(identifier, 3, dtype, np.random.default_rng(0)).dtype) == dtype
