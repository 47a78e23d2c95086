"""Free text of headers reduced to known terms."""

from data_pipeline.readers.dicom.terms import image_type_terms, vendor_name


def test_vendors_and_image_types():
    assert vendor_name("G.E. Medical Systems") == vendor_name("GE Vingmed Ultrasound") == "GE"
    assert vendor_name("") == "" and vendor_name("Praxis Dr. Schmidt") == "other"
    assert image_type_terms(("DERIVED", "Primary", "SMITH", "0011")) == ("DERIVED", "PRIMARY", "OTHER", "0011")
